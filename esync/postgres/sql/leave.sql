-- leave: take a worker out, with its sleepers. Locks: their rows. Indexes: primary keys.
WITH sleeper AS (
    DELETE FROM {sleeper} AS s
    WHERE s.worker_id = %(worker_id)s
)
DELETE FROM {worker} AS w
WHERE w.worker_id = %(worker_id)s
