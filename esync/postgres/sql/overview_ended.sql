-- overview: the last messages of each name: of the newest attempt that ended, unless %(retried)s
-- only of those that are not to be repeated, and of the newest that FAILED.
-- Locks: none. Indexes: finished, retried, failed.
SELECT
    n.task_name,
    ended.state,
    ended.task_key,
    ended.message,
    ended.seconds,
    failed.state AS failed_state,
    failed.task_key AS failed_key,
    failed.message AS failed_message,
    failed.seconds AS failed_seconds
FROM unnest(%(names)s::text[]) AS n (task_name)
LEFT JOIN LATERAL (
    SELECT
        e.state,
        e.task_key,
        e.message,
        extract(
            epoch FROM now() - least(
                greatest(e.last_attempted, '0001-01-01 00:00:00+00'), now()
            )
        )::double precision AS seconds
    FROM (
        (
            SELECT
                t.state,
                t.task_key,
                left(t.last_attempt_message, 300) AS message,
                t.last_attempted
            FROM {table} AS t
            WHERE t.task_name = n.task_name
                AND t.state IN ('DONE', 'FAILED', 'CANCELLED')
                AND t.superseded_by IS NULL
            ORDER BY t.last_attempted DESC
            LIMIT 1
        )
        UNION ALL
        (
            SELECT
                t.state,
                t.task_key,
                left(t.last_attempt_message, 300) AS message,
                t.last_attempted
            FROM {table} AS t
            WHERE %(retried)s::boolean
                AND t.task_name = n.task_name
                AND t.state = 'RETRY'
            ORDER BY t.last_attempted DESC
            LIMIT 1
        )
    ) AS e
    ORDER BY e.last_attempted DESC
    LIMIT 1
) AS ended ON true
LEFT JOIN LATERAL (
    SELECT
        t.state,
        t.task_key,
        left(t.last_attempt_message, 300) AS message,
        extract(
            epoch FROM now() - least(
                greatest(t.last_attempted, '0001-01-01 00:00:00+00'), now()
            )
        )::double precision AS seconds
    FROM {table} AS t
    WHERE t.task_name = n.task_name AND t.state = 'FAILED'
    ORDER BY t.last_attempted DESC
    LIMIT 1
) AS failed ON true
