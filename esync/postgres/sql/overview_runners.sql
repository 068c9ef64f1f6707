-- overview: what was decided about each name that has a runner; nothing of the queue is read.
-- Locks: none. Indexes: runner's primary key.
SELECT
    r.task_name,
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
    r.last_seen IS NOT NULL AS is_known
FROM {runner} AS r
ORDER BY r.task_name
LIMIT %(limit)s
