-- requeue, cancel, run-now, pause, resume: wake whoever listens. Locks: NOTIFY's, until commit.
SELECT pg_notify(%(channel)s::text, %(payload)s::text)
