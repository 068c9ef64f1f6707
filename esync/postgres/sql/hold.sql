-- requeue, cancel, run-now: wait for whoever is writing some tasks, and keep them from changing.
-- Must not be the statement that looks at them: its snapshot would be older than the wait.
-- Locks: the rows, in the order of their ids. Indexes: primary key.
SELECT
FROM {table} AS t
WHERE t.{id} = ANY (%(ids)s::uuid[]) AND t.task_name = %(name)s::text
ORDER BY t.{id}
FOR NO KEY UPDATE
