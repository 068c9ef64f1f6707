-- overview: for how long the longest waiting due task of each name has been due.
-- Locks: none. Indexes: due, one probe per name and priority.
SELECT
    n.task_name,
    extract(
        epoch FROM now() - greatest(waiting.do_after, '0001-01-01 00:00:00+00')
    )::double precision AS oldest_seconds
FROM unnest(%(names)s::text[]) AS n (task_name)
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
WHERE waiting.do_after IS NOT NULL
