-- list: tasks IN PROGRESS, newest start first. Locks: none. Indexes: running, of which all rows
-- of the names are read: there are no more than the cluster has slots.
SELECT
    t.{id} AS id,
    false AS is_last,
    t.last_attempted::text,
    t.{id}::text
FROM {table} AS t
WHERE t.state = 'IN PROGRESS'
    AND t.task_name = ANY (%(names)s::text[])
    AND (t.last_attempted, t.{id}) < (%(at)s::timestamptz, %(id)s::uuid)
    AND (%(key_prefix)s::text IS NULL OR starts_with(t.task_key, %(key_prefix)s::text))
    AND (
        %(error)s::text IS NULL
        OR position(lower(%(error)s::text) IN lower(t.last_attempt_message)) > 0
    )
    AND t.last_attempted >= coalesce(
        now() - %(since)s::double precision * interval '1 s', '-infinity'
    )
ORDER BY t.last_attempted DESC, t.{id} DESC
LIMIT %(limit)s::bigint
