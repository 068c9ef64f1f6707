-- requeue, cancel, run-now: the task names of some tasks. Locks: none. Indexes: primary key.
SELECT t.{id} AS id, t.task_name
FROM {table} AS t
WHERE t.{id} = ANY (%(ids)s::uuid[])
