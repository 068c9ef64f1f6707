-- add: store one request. Locks: none. The insert trigger wakes sleeping runners.
INSERT INTO {table} ({id}, data, task_key, task_name, created_by, do_after, priority)
VALUES (
    %(task_id)s::uuid,
    %(data)s::jsonb,
    %(key)s,
    %(name)s,
    %(created_by)s,
    coalesce(
        %(do_after)s::timestamptz, statement_timestamp() + %(delay)s * interval '1 s'
    ),
    %(priority)s
)
