-- cancel_unknown: the names of pending tasks that no worker knows, paused ones excepted.
-- Locks: none. Indexes: due (skipping from name to name).
WITH RECURSIVE pending (task_name) AS (
    (
        SELECT t.task_name
        FROM {table} AS t
        WHERE t.state IN ('READY', 'RETRY')
        ORDER BY t.task_name
        LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT t.task_name
        FROM {table} AS t
        WHERE t.state IN ('READY', 'RETRY') AND t.task_name > p.task_name
        ORDER BY t.task_name
        LIMIT 1
    )
    FROM pending AS p
    WHERE p.task_name IS NOT NULL
)
SELECT p.task_name
FROM pending AS p
LEFT JOIN {runner} AS r ON r.task_name = p.task_name
WHERE p.task_name IS NOT NULL
    AND (
        r.last_seen IS NULL
        OR r.last_seen < statement_timestamp() - %(forget_after)s * interval '1 s'
    )
    AND NOT coalesce(
        r.paused_at IS NOT NULL AND coalesce(r.resume_at > statement_timestamp(), true), false
    )
