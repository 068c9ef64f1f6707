-- pop: take the advisory locks of a runner and of its stream, if any, until the end of this
-- transaction, or give up after 50 ms. Where fifty workers queue for one, each batch is done by the
-- process that has rested longest, with cold caches, from a place that others have long left
-- behind; a few that give way to each other do more.
-- By tries, since the end of a lock_timeout is an error: busy workers would fill the server's log.
-- Whether they were taken is left in a setting of this transaction, for the pop behind it.
-- Locks: those. Must not be the statement that reads: its snapshot would be older than the locks.
WITH pause (seconds) AS (
    VALUES (0.002), (0.004), (0.008), (0.016), (0.02), (0)
),

runner AS MATERIALIZED (
    SELECT
    FROM pause AS p
    WHERE CASE
            WHEN pg_try_advisory_xact_lock(%(lock)s) THEN true
            ELSE pg_sleep(p.seconds) IS NULL
        END
    LIMIT 1
),

stream AS MATERIALIZED (
    SELECT
    FROM pause AS p
    WHERE EXISTS (SELECT FROM runner)
        AND CASE
            WHEN %(stream_lock)s::bigint IS NULL THEN true
            WHEN pg_try_advisory_xact_lock(%(stream_lock)s::bigint) THEN true
            ELSE pg_sleep(p.seconds) IS NULL
        END
    LIMIT 1
)

SELECT set_config('esync.has_locks', EXISTS (SELECT FROM stream)::text, true) = 'true' AS has_locks
