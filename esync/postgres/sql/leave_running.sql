-- leave: mark a worker whose handlers still run while its process ends; others rescue its tasks.
-- Locks: its row. Indexes: primary key.
WITH leaving AS (
    UPDATE {worker} AS w
    SET leaving_at = clock_timestamp()
    WHERE w.worker_id = %(worker_id)s
    RETURNING w.worker_id
)

SELECT pg_notify(%(channel)s, '*')
FROM leaving
