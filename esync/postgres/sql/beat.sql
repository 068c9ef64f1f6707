-- beat: renew the lease of a worker, and note once a minute that its names are still registered.
-- Names whose row another worker is just writing are seen by that one: a beat waits for nobody.
-- Locks: the rows it writes. Indexes: primary keys.
WITH beaten AS (
    UPDATE {worker} AS w
    SET heartbeat = clock_timestamp()
    WHERE w.worker_id = %(worker_id)s AND w.leaving_at IS NULL
    RETURNING w.worker_id
),

seen AS (
    UPDATE {runner} AS r
    SET last_seen = statement_timestamp()
    WHERE EXISTS (SELECT FROM beaten)
        AND r.task_name = ANY (
            ARRAY(
                SELECT s.task_name
                FROM {runner} AS s
                WHERE s.task_name = ANY (%(names)s::text[])
                    AND s.last_seen < statement_timestamp() - interval '1 minute'
                ORDER BY s.task_name
                FOR NO KEY UPDATE SKIP LOCKED
            )
        )
)

SELECT worker_id
FROM beaten
