-- notify: wake the sleeping runners of some names. Locks: NOTIFY's, until commit.
SELECT pg_notify(%(channel)s, s.task_name)
FROM {sleeper} AS s
WHERE s.task_name = ANY (%(names)s::text[])
GROUP BY s.task_name
