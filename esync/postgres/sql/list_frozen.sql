-- rescue: the sessions of processes that are stopped and take no rows. A pop holds its runner's
-- lock until its rows are sent, and those of a thousand tasks are more than a socket takes; no
-- timeout of the server's ends a session that waits for that. By Unix sockets only: by TCP
-- tcp_user_timeout does. Whom the server would not let us end, or not show, is left alone.
-- Locks: none. Indexes: none; reads the list of sessions.
SELECT a.pid
FROM pg_stat_activity AS a
JOIN pg_roles AS r ON r.oid = a.usesysid
WHERE a.datname = current_database()
    AND a.application_name ~ '^esync:(pop|finish|act)(:|$)'
    AND a.client_port = -1
    AND a.state = 'active'
    AND a.wait_event = 'ClientWrite'
    AND a.query_start < clock_timestamp() - interval '5 s'
    AND pg_has_role(a.usesysid, 'USAGE')
    AND (NOT r.rolsuper OR current_setting('is_superuser') = 'on')
    AND has_function_privilege('pg_terminate_backend(integer, bigint)', 'EXECUTE')
