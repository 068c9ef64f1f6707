-- list_workers: the workers in the order in which they came; nothing of the queue is read.
-- Locks: none. Indexes: none; of the workers, tens of rows, everything is read.
SELECT
    w.worker_id,
    w.host,
    w.pid,
    w.names,
    w.name_slots,
    w.slots,
    extract(epoch FROM now() - w.started_at)::double precision AS started_seconds,
    extract(epoch FROM now() - w.heartbeat)::double precision AS heartbeat_seconds,
    w.lease_seconds,
    w.leaving_at IS NOT NULL AS is_leaving,
    w.version
FROM {worker} AS w
ORDER BY w.started_at, w.worker_id
LIMIT 10000
