-- get_task: what a detail shows beyond the row. Locks: none. Indexes: primary key.
SELECT
    t.task_name,
    t.task_key,
    t.last_attempt_message,
    left(t.data::text, 65536) AS data,
    ARRAY(
        SELECT e.entry::text
        FROM jsonb_array_elements(
            CASE WHEN jsonb_typeof(t.errors) = 'array' THEN t.errors ELSE '[]' END
        ) WITH ORDINALITY AS e (entry, place)
        ORDER BY e.place DESC
        LIMIT 20
    ) AS errors
FROM {table} AS t
WHERE t.{id} = %(id)s::uuid
