-- report: show the progress of a running attempt; fenced like a finish.
-- Locks: the row. Indexes: primary key, and only it: the
-- collation keeps the condition on the state from matching the running index, which statistics of
-- a moment ago may call empty.
UPDATE {table} AS t
SET last_attempt_message = %(message)s
WHERE t.{id} = %(task_id)s
    AND t.attempts = %(attempt)s
    AND t.claimed_by = %(worker_id)s
    AND t.state COLLATE "C" = 'IN PROGRESS'
