-- wake: tell inserts of some names that nobody sleeps here. Locks: leaves those of sleep.
-- Indexes: none.
SELECT pg_advisory_unlock_shared(%(space)s::integer, hashtext(n.task_name))
FROM unnest(%(names)s::text[]) AS n (task_name)
