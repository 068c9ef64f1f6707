-- list: tasks of a legacy table in states that are none of the six. Locks: none. Indexes: odd, of
-- which all rows of the names are read: nearly always none.
WITH odd AS MATERIALIZED (
    SELECT t.{id} AS id, t.task_key, t.last_attempt_message, t.last_attempted
    FROM {table} AS t
    WHERE t.state NOT IN ('READY', 'IN PROGRESS', 'RETRY', 'DONE', 'FAILED', 'CANCELLED')
        AND t.task_name = ANY (%(names)s::text[])
)
SELECT o.id, false AS is_last, o.id::text
FROM odd AS o
WHERE o.id > %(id)s::uuid
    AND (%(key_prefix)s::text IS NULL OR starts_with(o.task_key, %(key_prefix)s::text))
    AND (
        %(error)s::text IS NULL
        OR position(lower(%(error)s::text) IN lower(o.last_attempt_message)) > 0
    )
    AND o.last_attempted >= coalesce(
        now() - %(since)s::double precision * interval '1 s', '-infinity'
    )
ORDER BY o.id
LIMIT %(limit)s::bigint
