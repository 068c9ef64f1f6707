-- list: tasks of a legacy table in states that are none of the six. Locks: none. Indexes: odd, of
-- which all rows of the names are read: nearly always none.
SELECT
    t.{id} AS id,
    false AS is_last,
    t.{id}::text
FROM {table} AS t
WHERE t.state NOT IN ('READY', 'IN PROGRESS', 'RETRY', 'DONE', 'FAILED', 'CANCELLED')
    AND t.task_name = ANY (%(names)s::text[])
    AND t.{id} > %(id)s::uuid
    AND (%(key_prefix)s::text IS NULL OR starts_with(t.task_key, %(key_prefix)s::text))
    AND (
        %(error)s::text IS NULL
        OR position(lower(%(error)s::text) IN lower(t.last_attempt_message)) > 0
    )
    AND t.last_attempted >= coalesce(
        now() - %(since)s::double precision * interval '1 s', '-infinity'
    )
ORDER BY t.{id}
LIMIT %(limit)s::bigint
