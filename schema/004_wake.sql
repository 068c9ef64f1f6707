-- The insert trigger asks once who sleeps, not first whether anybody does: while somebody sleeps
-- that costs an insert 20 us instead of 34, otherwise 15 as before (2 cores of 2026).
--
-- `esync migrate` runs this file after 003. By hand, in one transaction:
--     psql -1 -v ON_ERROR_STOP=1 -v schema=public -v table=message_queue -f 004_wake.sql

\if :{?schema}
\else
\set schema public
\endif
\if :{?table}
\else
\set table message_queue
\endif
\set migration :table '_migration'

SET LOCAL lock_timeout = '60s';

SELECT pg_advisory_xact_lock(hashtextextended('esync migrate ' || :'schema' || '.' || :'table', 0));

SET LOCAL lock_timeout = '5s';

SELECT set_config('esync.schema', :'schema', true), set_config('esync.table', :'table', true);

-- As in 001: only the runners that sleep are woken, and producers need no right on the sleepers.
-- Where nobody sleeps, the names that were added are not even read.
DO $do$
DECLARE
    schema_name text := current_setting('esync.schema');
    table_name text := current_setting('esync.table');
BEGIN
    EXECUTE format(
        $sql$
        CREATE OR REPLACE FUNCTION %1$I.%2$I() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $body$
        BEGIN
            PERFORM pg_notify(%4$L, s.task_name)
            FROM %1$I.%3$I AS s
            WHERE s.task_name = ANY (
                ARRAY(SELECT a.task_name FROM added AS a WHERE a.do_after <= clock_timestamp())
            );
            RETURN NULL;
        END
        $body$
        $sql$,
        schema_name,
        table_name || '_wake',
        table_name || '_sleeper',
        'esync_' || substr(md5(schema_name || '.' || table_name), 1, 16)
    );
END
$do$;

INSERT INTO :"schema".:"migration" (version) VALUES (4);
