-- get_task: what a detail shows beyond the row. Locks: none. Indexes: primary key.
SELECT
    t.task_name,
    t.task_key,
    t.last_attempt_message,
    left(d.content, coalesce(%(data_limit)s::integer, length(d.content))) AS data,
    length(d.content) AS data_length,
    ARRAY(
        SELECT e.entry::text
        FROM jsonb_array_elements(
            CASE WHEN jsonb_typeof(t.errors) = 'array' THEN t.errors ELSE '[]' END
        ) WITH ORDINALITY AS e (entry, place)
        ORDER BY e.place DESC
        LIMIT 20
    ) AS errors
FROM {table} AS t
CROSS JOIN LATERAL (
    SELECT t.data::text AS content
    OFFSET 0  -- once for both
) AS d
WHERE t.{id} = %(id)s::uuid
