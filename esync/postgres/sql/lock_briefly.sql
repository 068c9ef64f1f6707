-- pop: take the advisory lock of a runner or a stream until the end of this transaction, or give up
-- after 50 ms (55P03). Where fifty workers queue for it, each batch is done by the process that has
-- rested longest, with cold caches, from a place that others have long left behind; a few that give
-- way to each other do more.
-- Locks: that one. Must not be the statement that reads: its snapshot would be older than the lock.
WITH brief AS MATERIALIZED (
    SELECT set_config('lock_timeout', '50ms', true)
)
SELECT pg_advisory_xact_lock(%(lock)s)
FROM brief
