-- list_workers: the workers in the order in which they came. Locks: none. Indexes: running;
-- of the workers, tens of rows, everything is read.
SELECT
    w.worker_id,
    w.host,
    w.pid,
    w.names,
    w.name_slots,
    w.slots,
    coalesce(work.running, 0) AS running,
    extract(epoch FROM now() - w.started_at)::double precision AS started_seconds,
    extract(epoch FROM now() - w.heartbeat)::double precision AS heartbeat_seconds,
    w.lease_seconds,
    w.leaving_at IS NOT NULL AS is_leaving,
    w.version
FROM {worker} AS w
LEFT JOIN (
    SELECT t.claimed_by, count(*) AS running
    FROM {table} AS t
    WHERE t.state = 'IN PROGRESS'
    GROUP BY t.claimed_by
) AS work ON work.claimed_by = w.worker_id
ORDER BY w.started_at, w.worker_id
LIMIT 10000
