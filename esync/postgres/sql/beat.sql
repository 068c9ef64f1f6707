-- beat: renew the lease of a worker. Locks: its row. Indexes: primary key.
UPDATE {worker} AS w
SET heartbeat = clock_timestamp()
WHERE w.worker_id = %(worker_id)s AND w.leaving_at IS NULL
RETURNING w.worker_id
