-- finish: record the outcomes of a batch of attempts; fenced by id, attempt, worker and state.
-- Locks: the rows it writes. Indexes: primary key, by one probe for each outcome, whatever
-- statistics of a moment ago say: the collation keeps the condition on the state from matching the
-- running index, and ANY (ARRAY[...]) keeps a whole index from being read in the order of a merge.
WITH outcome AS MATERIALIZED (
    SELECT o.id, o.attempt, o.state, o.message, o.delay, o.error
    FROM unnest(
        %(ids)s::uuid[],
        %(attempts)s::integer[],
        %(states)s::text[],
        %(messages)s::text[],
        %(delays)s::double precision[],
        %(errors)s::jsonb[]
    ) AS o (id, attempt, state, message, delay, error)
)
UPDATE {table} AS t
SET
    state = CASE
        WHEN o.state = 'RETRY' AND t.cancel_requested IS NOT NULL THEN 'CANCELLED'
        ELSE o.state
    END,
    last_attempt_message = CASE
        WHEN o.state = 'RETRY' AND t.cancel_requested IS NOT NULL
            THEN 'Cancelled by ' || t.cancel_requested
        ELSE o.message
    END,
    last_attempted = statement_timestamp(),
    do_after = CASE
        WHEN o.state = 'RETRY' THEN statement_timestamp() + o.delay * interval '1 s'
        ELSE t.do_after
    END,
    tries = t.tries + CASE WHEN o.state IN ('RETRY', 'FAILED') THEN 1 ELSE 0 END,
    crashes = 0,
    cancel_requested = NULL,
    errors = CASE
        WHEN o.error IS NULL THEN t.errors
        ELSE CASE WHEN jsonb_array_length(t.errors) >= 20 THEN t.errors - 0 ELSE t.errors END
            || jsonb_build_array(o.error || jsonb_build_object('at', statement_timestamp()))
    END
FROM outcome AS o
WHERE t.{id} = ANY (ARRAY[o.id])
    AND t.attempts = o.attempt
    AND t.claimed_by = %(worker_id)s
    AND t.state COLLATE "C" = 'IN PROGRESS'
RETURNING t.{id}
