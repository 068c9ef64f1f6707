-- sleep: write runners in as sleeping. Locks: their rows. Indexes: primary key.
INSERT INTO {sleeper} (task_name, worker_id)
SELECT n.task_name, %(worker_id)s
FROM unnest(%(names)s::text[]) AS n (task_name)
ON CONFLICT DO NOTHING
