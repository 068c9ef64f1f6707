-- look: for each name of a worker, when its next task is due and what operators decided; then its
-- running attempts that somebody asked to cancel; then whether any worker is to be rescued from, and
-- how long all of that took.
-- Locks: none. Indexes: due, one probe per name and priority, none for busy names; cancel. The
-- workers are read whole. What was claimed stays in the index until it is vacuumed: a look for what
-- has just become due does not read all of that.
SELECT
    n.task_name,
    next.do_after <= statement_timestamp() AS is_due,
    CASE
        WHEN isfinite(next.do_after)
            THEN extract(epoch FROM next.do_after - statement_timestamp())::double precision
    END AS seconds,
    coalesce(
        r.paused_at IS NOT NULL AND coalesce(r.resume_at > statement_timestamp(), true), false
    ) AS is_paused,
    r.interval_seconds,
    NULL::uuid AS id,
    NULL AS cancel_requested,
    NULL::boolean AS has_lost_worker,
    NULL::double precision AS took
FROM unnest(%(names)s::text[], %(busy)s::boolean[]) AS n (task_name, is_busy)
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
            AND t.do_after >= CASE
                WHEN %(due_within)s::double precision IS NULL THEN '-infinity'
                ELSE statement_timestamp() - %(due_within)s * interval '1 s'
            END
        ORDER BY t.do_after
        LIMIT 1
    ) AS first
    WHERE NOT n.is_busy
) AS next
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, t.{id}, t.cancel_requested, NULL, NULL
FROM {table} AS t
WHERE t.claimed_by = %(worker_id)s
    AND t.cancel_requested IS NOT NULL
    AND t.state COLLATE "C" = 'IN PROGRESS'
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, EXISTS (
    SELECT
    FROM {worker} AS w
    WHERE w.heartbeat < statement_timestamp() - w.lease_seconds * interval '1 s'
        OR w.leaving_at < statement_timestamp() - interval '300 ms'
), extract(epoch FROM clock_timestamp() - statement_timestamp())::double precision
