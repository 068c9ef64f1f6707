-- notify: wake the runners of some names. Locks: NOTIFY's, until commit. Indexes: none.
SELECT pg_notify(%(channel)s, n.task_name)
FROM unnest(%(names)s::text[]) AS n (task_name)
