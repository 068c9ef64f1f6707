-- The index of a key's pending requests, under a condition of its own. PostgreSQL takes an index that
-- it believes to be empty whole rather than another by its columns: after a queue has been empty each
-- pop would have read all that is due, for every key.
--
-- `esync migrate` runs this file after 002. By hand, in one transaction:
--     psql -1 -v ON_ERROR_STOP=1 -v schema=public -v table=message_queue -f 003_key_index.sql

\if :{?schema}
\else
\set schema public
\endif
\if :{?table}
\else
\set table message_queue
\endif
\set migration :table '_migration'
\set key :table '_key'

SET LOCAL lock_timeout = '60s';

SELECT pg_advisory_xact_lock(hashtextextended('esync migrate ' || :'schema' || '.' || :'table', 0));

SET LOCAL lock_timeout = '5s';

DROP INDEX :"schema".:"key";

-- pop: the pending requests of a key, newest first. What asks for them so is offered no other index,
-- nor this one what asks for due tasks.
CREATE INDEX :"key" ON :"schema".:"table" (task_key, task_name COLLATE "C", seq)
WHERE state COLLATE "C" IN ('READY', 'RETRY');

INSERT INTO :"schema".:"migration" (version) VALUES (3);
