-- resume: open a paused runner; tell whether it was paused. No row: nobody knows the name.
-- Locks: its row; the caller holds the runner's lock. Indexes: primary key.
WITH found AS MATERIALIZED (
    SELECT
        r.task_name,
        r.paused_at IS NOT NULL AND coalesce(r.resume_at > statement_timestamp(), true)
            AS is_paused
    FROM {runner} AS r
    WHERE r.task_name = %(name)s::text
),

resumed AS (
    UPDATE {runner} AS r
    SET paused_at = NULL, paused_by = NULL, pause_reason = NULL, resume_at = NULL
    WHERE r.task_name = %(name)s::text AND r.paused_at IS NOT NULL
)

SELECT f.is_paused
FROM found AS f
