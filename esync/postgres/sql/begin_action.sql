-- begin_action: claim the next run if it is due, nobody runs it and its stream is free.
-- Locks: its row; the caller holds the stream's lock. Indexes: primary key, running.
WITH begun AS (
    UPDATE {schedule} AS a
    SET
        running_by = %(worker_id)s,
        started_at = statement_timestamp(),
        next_at = statement_timestamp() + %(interval)s * interval '1 s'
    WHERE a.name = %(name)s
        AND a.next_at <= statement_timestamp()
        AND a.running_by IS NULL
        AND EXISTS (
            SELECT
            FROM {worker} AS w
            WHERE w.worker_id = %(worker_id)s AND w.leaving_at IS NULL
        )
        AND (
            %(stream)s::text IS NULL
            OR (
                NOT EXISTS (
                    SELECT
                    FROM {runner} AS r
                    JOIN {table} AS t ON t.task_name = r.task_name
                    WHERE r.stream = %(stream)s AND t.state = 'IN PROGRESS'
                )
                AND NOT EXISTS (
                    SELECT
                    FROM {schedule} AS o
                    WHERE o.stream = %(stream)s AND o.running_by IS NOT NULL
                )
            )
        )
    RETURNING a.name
)

SELECT
    EXISTS (SELECT FROM begun) AS is_begun,
    greatest(
        extract(epoch FROM a.next_at - statement_timestamp())::double precision, 0
    ) AS seconds
FROM {schedule} AS a
WHERE a.name = %(name)s
