-- leave: take a worker out. Locks: its row. Indexes: primary key.
DELETE FROM {worker} AS w
WHERE w.worker_id = %(worker_id)s
