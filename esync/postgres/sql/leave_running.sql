-- leave: mark a worker whose handlers still run while its process ends; others rescue its tasks.
-- Locks: its rows. Indexes: primary keys.
WITH sleeper AS (
    DELETE FROM {sleeper} AS s
    WHERE s.worker_id = %(worker_id)s
),

leaving AS (
    UPDATE {worker} AS w
    SET leaving_at = clock_timestamp()
    WHERE w.worker_id = %(worker_id)s
    RETURNING w.worker_id
)

SELECT pg_notify(%(channel)s, '*')
FROM leaving
