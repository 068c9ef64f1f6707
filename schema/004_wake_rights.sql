-- Nobody but the owner may attach the insert trigger's function to a table. Whoever could would run
-- code as the owner: a temporary table whose columns have a type of his own brings its casts along,
-- and no search_path stands in their way. Inserting needs no right on it: that is asked for when a
-- trigger is created.
--
-- `esync migrate` runs this file after 003. By hand, in one transaction:
--     psql -1 -v ON_ERROR_STOP=1 -v schema=public -v table=message_queue -f 004_wake_rights.sql

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

REVOKE ALL ON FUNCTION :"schema".:"wake"() FROM PUBLIC;

INSERT INTO :"schema".:"migration" (version) VALUES (4);
