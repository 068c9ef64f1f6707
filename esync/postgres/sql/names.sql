-- names: every task name that has tasks or a runner, skipping from name to name.
-- Locks: none. Indexes: due, running, finished, superseded, odd, runner's primary key: one probe
-- of each per name. The empty name comes first, whether it exists or not.
WITH RECURSIVE known (task_name) AS (
    SELECT ''::text
    UNION ALL
    SELECT (
        SELECT min(next.task_name)
        FROM (
            (
                SELECT t.task_name
                FROM {table} AS t
                WHERE t.state IN ('READY', 'RETRY') AND t.task_name > k.task_name
                ORDER BY t.task_name
                LIMIT 1
            )
            UNION ALL
            (
                SELECT t.task_name
                FROM {table} AS t
                WHERE t.state = 'IN PROGRESS' AND t.task_name > k.task_name
                ORDER BY t.task_name
                LIMIT 1
            )
            UNION ALL
            (
                SELECT t.task_name
                FROM {table} AS t
                WHERE t.state IN ('DONE', 'FAILED', 'CANCELLED')
                    AND t.superseded_by IS NULL
                    AND t.task_name > k.task_name
                ORDER BY t.task_name
                LIMIT 1
            )
            UNION ALL
            (
                SELECT t.task_name
                FROM {table} AS t
                WHERE t.state = 'CANCELLED'
                    AND t.superseded_by IS NOT NULL
                    AND t.task_name > k.task_name
                ORDER BY t.task_name
                LIMIT 1
            )
            UNION ALL
            (
                SELECT t.task_name
                FROM {table} AS t
                WHERE t.state NOT IN
                    ('READY', 'IN PROGRESS', 'RETRY', 'DONE', 'FAILED', 'CANCELLED')
                    AND t.task_name > k.task_name
                ORDER BY t.task_name
                LIMIT 1
            )
            UNION ALL
            (
                SELECT r.task_name
                FROM {runner} AS r
                WHERE r.task_name > k.task_name
                ORDER BY r.task_name
                LIMIT 1
            )
        ) AS next
    )
    FROM known AS k
    WHERE k.task_name IS NOT NULL
)
SELECT k.task_name
FROM known AS k
WHERE k.task_name IS NOT NULL
LIMIT %(limit)s
