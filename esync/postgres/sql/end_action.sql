-- end_action: record the end of a run of a scheduled action. Locks: its row.
UPDATE {schedule} AS a
SET running_by = NULL, ended_at = statement_timestamp(), last_error = %(error)s
WHERE a.name = %(name)s AND a.running_by = %(worker_id)s
