-- overview: how many tasks are IN PROGRESS, per name and worker. Locks: none. Indexes: running.
SELECT t.task_name, t.claimed_by, count(*) AS running
FROM {table} AS t
WHERE t.state = 'IN PROGRESS'
GROUP BY t.task_name, t.claimed_by
