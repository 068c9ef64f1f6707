-- recorded: of outcomes that a finish did not write, those that an earlier finish had written.
-- A finish leaves claimed_by on the row; rescue, release and operators clear it.
-- Locks: none. Indexes: primary key.
SELECT t.{id}
FROM {table} AS t
JOIN unnest(
    %(ids)s::uuid[], %(attempts)s::integer[], %(states)s::text[]
) AS o (id, attempt, state) ON t.{id} = ANY (ARRAY[o.id])
WHERE t.attempts = o.attempt
    AND t.claimed_by = %(worker_id)s
    AND (t.state = o.state OR (o.state = 'RETRY' AND t.state = 'CANCELLED'))
