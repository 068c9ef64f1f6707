-- rescue: the sessions of processes that are stopped and take no rows. A pop holds its runner's
-- lock until its rows are sent, and those of a thousand tasks are more than a socket takes; no
-- timeout of the server's ends a session that waits for that. One that listens keeps what others
-- were told since in the server's queue of notifications: 8 GB, and when it is full nobody's commit
-- with a wake-up succeeds any more. Since when it waits is not to be seen, but that the queue grows.
-- By Unix sockets only: by TCP tcp_user_timeout does. Whom the server would not let us end, or not
-- show, is left alone.
-- Locks: none. Indexes: none; reads the list of sessions.
SELECT a.pid
FROM pg_stat_activity AS a
JOIN pg_roles AS r ON r.oid = a.usesysid
WHERE a.datname = current_database()
    AND a.client_port = -1
    AND a.wait_event = 'ClientWrite'
    AND CASE a.state
        WHEN 'active'
            THEN a.application_name ~ '^esync:(pop|finish|act)(:|$)'
                AND a.query_start < clock_timestamp() - interval '5 s'
        WHEN 'idle'
            THEN a.application_name ~ '^esync:listen(:|$)' AND pg_notification_queue_usage() > 0.01
    END
    AND pg_has_role(a.usesysid, 'USAGE')
    AND (NOT r.rolsuper OR current_setting('is_superuser') = 'on')
    AND has_function_privilege('pg_terminate_backend(integer, bigint)', 'EXECUTE')
