-- cancel_unknown: cancel due tasks of a name that no worker knows, at most 500 at a time.
-- Locks: the rows; the caller holds the runner's lock. Indexes: due.
UPDATE {table} AS t
SET
    state = 'CANCELLED',
    last_attempt_message = 'No handler is registered for ' || t.task_name,
    last_attempted = statement_timestamp(),
    claimed_by = NULL
WHERE t.ctid = ANY (
    ARRAY(
        SELECT d.ctid
        FROM {table} AS d
        WHERE d.task_name = %(name)s
            AND d.state IN ('READY', 'RETRY')
            AND d.do_after <= statement_timestamp() - %(grace)s * interval '1 s'
            AND coalesce(
                d.created_at <= statement_timestamp() - %(grace)s * interval '1 s', true
            )
        ORDER BY d.priority, d.do_after, d.seq
        LIMIT 500
        FOR NO KEY UPDATE SKIP LOCKED
    )
)
    AND NOT EXISTS (
        SELECT
        FROM {runner} AS r
        WHERE r.task_name = %(name)s
            AND (
                r.last_seen >= statement_timestamp() - %(forget_after)s * interval '1 s'
                OR (
                    r.paused_at IS NOT NULL
                    AND coalesce(r.resume_at > statement_timestamp(), true)
                )
            )
    )
RETURNING t.{id}
