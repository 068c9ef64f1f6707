-- pause: close a runner until it is resumed or for so many seconds; a later pause replaces an
-- earlier one. Locks: its row; the caller holds the runner's lock. Indexes: primary key.
INSERT INTO {runner} AS r (task_name, paused_at, paused_by, pause_reason, resume_at)
VALUES (
    %(name)s::text,
    statement_timestamp(),
    %(by)s::text,
    %(reason)s::text,
    statement_timestamp() + %(resume_after)s::double precision * interval '1 s'
)
ON CONFLICT (task_name) DO UPDATE
SET
    paused_at = excluded.paused_at,
    paused_by = excluded.paused_by,
    pause_reason = excluded.pause_reason,
    resume_at = excluded.resume_at
