-- A runner that sleeps says so by a lock, no longer by a row: an insert asks for it without running a
-- query, which cost it a tenth to a third of its rate. The lock is an advisory one, shared, of the
-- name, held by the connection that pops (`esync.postgres.sleepers`); an insert tries it exclusively
-- and gives it back at once. Nothing is left behind once that connection has ended.
--
-- The table of the sleepers stays, for workers of before that still run: they write themselves in, are
-- not woken any more, and poll.
--
-- The condition is parsed anew by every statement that inserts: it is short for that.
--
-- `esync migrate` runs this file after 004. By hand, in one transaction:
--     psql -1 -v ON_ERROR_STOP=1 -v schema=public -v table=message_queue -f 005_wake_gate.sql

\if :{?schema}
\else
\set schema public
\endif
\if :{?table}
\else
\set table message_queue
\endif
\set wake :table '_wake'
\set migration :table '_migration'

SET LOCAL lock_timeout = '60s';

SELECT pg_advisory_xact_lock(hashtextextended('esync migrate ' || :'schema' || '.' || :'table', 0));

SET LOCAL lock_timeout = '5s';

SELECT set_config('esync.schema', :'schema', true), set_config('esync.table', :'table', true);

DROP TRIGGER :"wake" ON :"schema".:"table";

DROP FUNCTION :"schema".:"wake"();

-- The channel and the space of the locks are those of `esync.postgres.names`. The function runs for
-- rows that found the lock taken, most likely by who sleeps; once told, a transaction need not tell
-- again. It has no rights of its own, and every operator is named with its schema, or the owner of
-- a schema in somebody's search_path could lend it another.
DO $do$
DECLARE
    schema_name text := current_setting('esync.schema');
    table_name text := current_setting('esync.table');
    digest text := md5(schema_name || '.' || table_name);
    channel text := 'esync_' || substr(digest, 1, 16);
    space integer := ('x' || substr(digest, 1, 8))::bit(32)::integer;
BEGIN
    EXECUTE format(
        $sql$
        CREATE FUNCTION %1$I.%2$I() RETURNS trigger
        LANGUAGE plpgsql STABLE
        AS $body$
        BEGIN
            IF NEW.do_after OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()
                OR pg_catalog.current_setting(%5$L, true)
                    OPERATOR(pg_catalog.=) NEW.task_name::pg_catalog.text
                OR (
                    -- It may have been another insert that held it just then.
                    pg_catalog.pg_try_advisory_lock(%4$s, pg_catalog.hashtext(NEW.task_name))
                    AND pg_catalog.pg_advisory_unlock(%4$s, pg_catalog.hashtext(NEW.task_name))
                )
            THEN
                RETURN NULL;
            END IF;
            PERFORM
                pg_catalog.pg_notify(%6$L, NEW.task_name),
                pg_catalog.set_config(%5$L, NEW.task_name, true);
            RETURN NULL;
        END
        $body$;

        CREATE TRIGGER %2$I
        AFTER INSERT ON %1$I.%3$I
        FOR EACH ROW
        WHEN (
            NOT (
                pg_catalog.pg_try_advisory_lock(%4$s, pg_catalog.hashtext(NEW.task_name))
                AND pg_catalog.pg_advisory_unlock(%4$s, pg_catalog.hashtext(NEW.task_name))
            )
        )
        EXECUTE FUNCTION %1$I.%2$I()
        $sql$,
        schema_name,
        table_name || '_wake',
        table_name,
        space,
        channel || '.told',
        channel
    );
END
$do$;

INSERT INTO :"schema".:"migration" (version) VALUES (5);
