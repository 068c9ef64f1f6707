-- rescue: end a session that list_frozen has found. Locks: none. Indexes: none.
SELECT pg_terminate_backend(%(pid)s)
