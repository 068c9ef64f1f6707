-- release: give back claims that were never started; fenced like a finish.
-- Locks: the rows it writes. Indexes: primary key, one probe for each claim, as in finish.
UPDATE {table} AS t
SET
    state = CASE
        WHEN t.cancel_requested IS NOT NULL THEN 'CANCELLED'
        WHEN t.tries > 0 THEN 'RETRY'
        ELSE 'READY'
    END,
    last_attempt_message = CASE
        WHEN t.cancel_requested IS NOT NULL THEN 'Cancelled by ' || t.cancel_requested
        ELSE t.last_attempt_message
    END,
    claimed_by = NULL,
    cancel_requested = NULL
FROM unnest(%(ids)s::uuid[], %(attempts)s::integer[]) AS r (id, attempt)
WHERE t.{id} = ANY (ARRAY[r.id])
    AND t.attempts = r.attempt
    AND t.claimed_by = %(worker_id)s
    AND t.state COLLATE "C" = 'IN PROGRESS'
RETURNING t.{id}, t.task_name
