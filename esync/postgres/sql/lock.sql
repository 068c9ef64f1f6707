-- lock: wait for the transaction-level lock of a runner or a stream.
-- Locks: one advisory lock until the end of the transaction. Must not be the statement that
-- reads: its snapshot would be older than the lock.
SELECT pg_advisory_xact_lock(%(lock)s)
