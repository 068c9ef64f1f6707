-- get_task_count: tasks that are not finished. Locks: none. Indexes: due, running.
SELECT
    (
        SELECT count(*)
        FROM {table} AS t
        WHERE t.state IN ('READY', 'RETRY')
            AND (%(name)s::text IS NULL OR t.task_name = %(name)s)
    ) + (
        SELECT count(*)
        FROM {table} AS t
        WHERE t.state = 'IN PROGRESS'
            AND (%(name)s::text IS NULL OR t.task_name = %(name)s)
    ) AS unfinished
