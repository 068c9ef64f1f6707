-- look: the attempts of a worker that somebody asked to cancel. The index does without the state, so
-- that no statistics can make the planner take the index of what runs and read all of that.
--
-- `esync migrate` runs this file after 001. By hand, in one transaction:
--     psql -1 -v ON_ERROR_STOP=1 -v schema=public -v table=message_queue -f 002_cancel_index.sql

\if :{?schema}
\else
\set schema public
\endif
\if :{?table}
\else
\set table message_queue
\endif
\set migration :table '_migration'
\set cancel :table '_cancel'

SET LOCAL lock_timeout = '60s';

SELECT pg_advisory_xact_lock(hashtextextended('esync migrate ' || :'schema' || '.' || :'table', 0));

SET LOCAL lock_timeout = '5s';

DROP INDEX :"schema".:"cancel";

CREATE INDEX :"cancel" ON :"schema".:"table" (claimed_by)
WHERE cancel_requested IS NOT NULL;

INSERT INTO :"schema".:"migration" (version) VALUES (2);
