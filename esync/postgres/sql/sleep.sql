-- sleep: tell inserts of some names that somebody sleeps; return the names whose lock was got.
-- Locks: one per name, for as long as the connection lives or until wake. Indexes: none.
SELECT n.task_name
FROM unnest(%(names)s::text[]) AS n (task_name)
WHERE pg_try_advisory_lock_shared(%(space)s::integer, hashtext(n.task_name))
