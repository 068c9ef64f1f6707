-- overview: how many tasks of each name wait and how many have FAILED, exactly.
-- Locks: none. Indexes: due and failed, index only and whole: what this costs is measured.
SELECT
    t.task_name,
    count(*) FILTER (WHERE t.state = 'READY' AND t.do_after <= now()) AS ready,
    count(*) FILTER (WHERE t.state = 'READY' AND t.do_after > now()) AS scheduled,
    count(*) FILTER (WHERE t.state = 'RETRY') AS retry,
    0::bigint AS failed
FROM {table} AS t
WHERE t.state IN ('READY', 'RETRY')
GROUP BY t.task_name
UNION ALL
SELECT t.task_name, 0::bigint, 0::bigint, 0::bigint, count(*)
FROM {table} AS t
WHERE t.state = 'FAILED'
GROUP BY t.task_name
