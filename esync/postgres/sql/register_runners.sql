-- register: enter the runners of a worker. In the order of their names, so that two workers
-- cannot deadlock. Locks: their rows. Indexes: primary key.
INSERT INTO {runner} AS r (task_name, registered_limit, stream, last_seen)
SELECT n.task_name, n.registered_limit, n.stream, statement_timestamp()
FROM unnest(
    %(names)s::text[], %(limits)s::integer[], %(streams)s::text[]
) AS n (task_name, registered_limit, stream)
ORDER BY n.task_name
ON CONFLICT (task_name) DO UPDATE
SET
    registered_limit = excluded.registered_limit,
    stream = excluded.stream,
    last_seen = excluded.last_seen
