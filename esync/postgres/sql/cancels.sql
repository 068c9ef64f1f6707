-- look: the running attempts of a worker that somebody asked to cancel.
-- Locks: none. Indexes: cancel.
SELECT t.{id}, t.cancel_requested
FROM {table} AS t
WHERE t.claimed_by = %(worker_id)s AND t.state = 'IN PROGRESS' AND t.cancel_requested IS NOT NULL
