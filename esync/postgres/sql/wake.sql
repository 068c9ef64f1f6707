-- wake: take runners out of the sleepers. Locks: their rows. Indexes: primary key.
DELETE FROM {sleeper} AS s
WHERE s.worker_id = %(worker_id)s AND s.task_name = ANY (%(names)s::text[])
