-- see: note once a minute that the names of a worker are still registered; names whose row
-- another worker is just writing are seen by that one. Locks: the rows it writes.
UPDATE {runner} AS r
SET last_seen = statement_timestamp()
WHERE r.task_name = ANY (
    ARRAY(
        SELECT s.task_name
        FROM {runner} AS s
        WHERE s.task_name = ANY (%(names)s::text[])
            AND s.last_seen < statement_timestamp() - interval '1 minute'
        ORDER BY s.task_name
        FOR NO KEY UPDATE SKIP LOCKED
    )
)
