-- overview: what was decided about each name, its longest waiting due task, its last messages.
-- Locks: none. Indexes: due (one probe per name and priority), finished, retried, failed, primary
-- key.
SELECT
    n.task_name,
    coalesce(
        r.paused_at IS NOT NULL AND coalesce(r.resume_at > now(), true), false
    ) AS is_paused,
    coalesce(r.paused_by, '') AS paused_by,
    coalesce(r.pause_reason, '') AS pause_reason,
    extract(epoch FROM now() - r.paused_at)::double precision AS paused_seconds,
    CASE
        WHEN isfinite(r.resume_at)
            THEN extract(epoch FROM r.resume_at - now())::double precision
    END AS resumes_in,
    coalesce(r.operator_limit, r.registered_limit) AS task_limit,
    r.stream,
    coalesce(r.last_seen IS NOT NULL, false) AS is_known,
    CASE
        WHEN waiting.do_after IS NOT NULL
            THEN extract(
                epoch FROM now() - greatest(waiting.do_after, '0001-01-01 00:00:00+00')
            )::double precision
    END AS oldest_seconds,
    ended.state,
    ended.task_key,
    ended.message,
    ended.seconds,
    failed.state AS failed_state,
    failed.task_key AS failed_key,
    failed.message AS failed_message,
    failed.seconds AS failed_seconds
FROM unnest(%(names)s::text[]) AS n (task_name)
LEFT JOIN {runner} AS r ON r.task_name = n.task_name
CROSS JOIN LATERAL (
    SELECT min(first.do_after) AS do_after
    FROM generate_series(0, 9) AS p (priority)
    CROSS JOIN LATERAL (
        SELECT t.do_after
        FROM {table} AS t
        WHERE t.task_name = n.task_name
            AND t.priority = p.priority
            AND t.state IN ('READY', 'RETRY')
            AND t.do_after <= now()
        ORDER BY t.do_after
        LIMIT 1
    ) AS first
) AS waiting
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
            WHERE t.task_name = n.task_name AND t.state = 'RETRY'
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
