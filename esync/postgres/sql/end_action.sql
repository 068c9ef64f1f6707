-- end_action: record the end of a run of a scheduled action; its stream is the others' for a rest
-- if the next run is due already. Locks: its row.
UPDATE {schedule} AS a
SET
    running_by = NULL,
    ended_at = statement_timestamp(),
    last_error = %(error)s,
    next_at = CASE
        WHEN a.stream IS NOT NULL AND a.next_at <= statement_timestamp()
            THEN statement_timestamp() + %(rest)s * interval '1 s'
        ELSE a.next_at
    END
WHERE a.name = %(name)s AND a.running_by = %(worker_id)s
