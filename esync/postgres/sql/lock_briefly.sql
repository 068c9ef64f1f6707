-- pop: take the advisory lock of a runner or a stream until the end of this transaction, or give up
-- soon. Who waits for long pops what others have prepared, with a cold process for every batch: of
-- fifty workers that wait their turn a few do the work in less time.
-- Locks: that one.
WITH brief AS MATERIALIZED (
    SELECT set_config('lock_timeout', '50ms', true)
)
SELECT pg_advisory_xact_lock(%(lock)s)
FROM brief
