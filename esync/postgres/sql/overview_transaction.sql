-- overview: the database's clock, and the age of the oldest transaction that keeps dead rows
-- alive, if it is worth telling. Locks: none. Indexes: none, reads no table of ours.
SELECT
    now()::text AS at,
    (
        SELECT max(extract(epoch FROM now() - held.since))::double precision
        FROM (
            SELECT a.xact_start AS since
            FROM pg_stat_activity AS a
            WHERE a.datname = current_database()
                AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
                AND a.backend_type <> 'autovacuum worker'
                AND a.pid <> pg_backend_pid()
            UNION ALL
            SELECT p.prepared
            FROM pg_prepared_xacts AS p
            WHERE p.database = current_database()
        ) AS held
        WHERE held.since < now() - %(older)s::double precision * interval '1 s'
    ) AS seconds
