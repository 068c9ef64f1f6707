-- register: enter a worker, or renew what is known of it. Locks: its row. Indexes: primary key.
INSERT INTO {worker} AS w (
    worker_id, host, pid, names, name_slots, slots, lease_seconds, version
)
VALUES (
    %(worker_id)s,
    %(host)s,
    %(pid)s,
    %(names)s::text[],
    %(name_slots)s::integer[],
    %(slots)s,
    %(lease)s,
    %(version)s
)
ON CONFLICT (worker_id) DO UPDATE
SET
    names = excluded.names,
    name_slots = excluded.name_slots,
    slots = excluded.slots,
    heartbeat = clock_timestamp(),
    leaving_at = NULL
