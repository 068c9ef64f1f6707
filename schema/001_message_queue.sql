-- The queue and its companions: on an empty database, or taking over the table of the Go library.
--
-- Taking over rewrites no table and loses no row. Processors of the Go library must be stopped
-- first (they would take IN PROGRESS rows after ten minutes); its producers go on.
--
-- `esync migrate` runs this file. By hand, in one transaction:
--     psql -1 -v ON_ERROR_STOP=1 -v schema=public -v table=message_queue -f 001_message_queue.sql

\if :{?schema}
\else
\set schema public
\endif
\if :{?table}
\else
\set table message_queue
\endif
\set id :table '_id'
\set id_pk :table '_id_pk'
\set runner :table '_runner'
\set worker :table '_worker'
\set sleeper :table '_sleeper'
\set schedule :table '_schedule'
\set minute :table '_minute'
\set audit :table '_audit'
\set migration :table '_migration'
\set state_check :table '_state_check'
\set priority_check :table '_priority_check'
\set errors_check :table '_errors_check'
\set due :table '_due'
\set key :table '_key'
\set retry :table '_retry'
\set retried :table '_retried'
\set running :table '_running'
\set cancel :table '_cancel'
\set finished :table '_finished'
\set superseded :table '_superseded'
\set failed :table '_failed'
\set cancelled :table '_cancelled'
\set odd :table '_odd'
\set finished_key :table '_finished_key'
\set wake :table '_wake'

SET LOCAL lock_timeout = '60s';

SELECT pg_advisory_xact_lock(hashtextextended('esync migrate ' || :'schema' || '.' || :'table', 0));

SET LOCAL lock_timeout = '5s';

SELECT set_config('esync.schema', :'schema', true), set_config('esync.table', :'table', true);

-- CREATE SCHEMA IF NOT EXISTS would ask for a right on the database even when there is nothing to do.
DO $do$
BEGIN
    IF to_regnamespace(quote_ident(current_setting('esync.schema'))) IS NULL THEN
        EXECUTE format('CREATE SCHEMA %I', current_setting('esync.schema'));
    END IF;
END
$do$;

-- The eight columns of the original, exactly as they were.
CREATE TABLE IF NOT EXISTS :"schema".:"table" (
    :"id" uuid NOT NULL DEFAULT gen_random_uuid(),
    data jsonb NOT NULL DEFAULT '{}',
    task_key varchar(64) NOT NULL,
    task_name varchar(64) NOT NULL,
    created_at timestamptz DEFAULT now(),
    last_attempted timestamptz NOT NULL DEFAULT now(),
    state varchar(16) NOT NULL,
    last_attempt_message varchar NOT NULL,
    CONSTRAINT :"id_pk" PRIMARY KEY (:"id")
);

-- Every default is a constant for the length of this statement, so that no row is rewritten.
ALTER TABLE :"schema".:"table"
    ADD COLUMN IF NOT EXISTS created_by varchar(64),
    ADD COLUMN IF NOT EXISTS do_after timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN priority smallint NOT NULL DEFAULT 5,
    ADD COLUMN attempts integer NOT NULL DEFAULT 0,
    ADD COLUMN tries integer NOT NULL DEFAULT 0,
    ADD COLUMN crashes integer NOT NULL DEFAULT 0,
    ADD COLUMN claimed_by uuid,
    ADD COLUMN superseded_by uuid,
    ADD COLUMN cancel_requested text,
    ADD COLUMN errors jsonb NOT NULL DEFAULT '[]';

ALTER TABLE :"schema".:"table"
    ALTER COLUMN state SET DEFAULT 'READY',
    ALTER COLUMN last_attempt_message SET DEFAULT '',
    ALTER COLUMN created_by SET DEFAULT session_user,
    ALTER COLUMN do_after SET DEFAULT now();

-- NOT VALID: what a legacy table holds stays as it is; every new row is checked.
ALTER TABLE :"schema".:"table"
    ADD CONSTRAINT :"state_check" CHECK (
        state IN ('READY', 'IN PROGRESS', 'RETRY', 'DONE', 'FAILED', 'CANCELLED')
    ) NOT VALID,
    ADD CONSTRAINT :"priority_check" CHECK (priority BETWEEN 0 AND 9) NOT VALID,
    ADD CONSTRAINT :"errors_check" CHECK (jsonb_typeof(errors) = 'array') NOT VALID;

-- The order of arrival of what may still run, from the only clock that the original kept.
UPDATE :"schema".:"table" AS t
SET seq = arrived.seq
FROM (
    SELECT :"id" AS id, row_number() OVER (ORDER BY created_at NULLS FIRST, :"id") AS seq
    FROM :"schema".:"table"
    WHERE state IN ('READY', 'IN PROGRESS', 'RETRY', 'FAILED')  -- not some word of somebody's
) AS arrived
WHERE t.:"id" = arrived.id;

ALTER TABLE :"schema".:"table" ALTER COLUMN seq DROP DEFAULT;

ALTER TABLE :"schema".:"table" ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY;

SELECT setval(
    pg_get_serial_sequence(format('%I.%I', :'schema', :'table'), 'seq'),
    (SELECT coalesce(max(seq), 0) + 1 FROM :"schema".:"table"),
    false
);

-- One attempt per key at a time: of several IN PROGRESS rows of a key the newest stays.
UPDATE :"schema".:"table" AS t
SET state = 'RETRY'
WHERE t.state = 'IN PROGRESS'
    AND EXISTS (
        SELECT
        FROM :"schema".:"table" AS newer
        WHERE newer.task_name = t.task_name
            AND newer.task_key = t.task_key
            AND newer.state = 'IN PROGRESS'
            AND newer.seq > t.seq
    );

-- pop: the due tasks of a name in run order. look: the next one. Operators: pending tasks.
CREATE INDEX :"due" ON :"schema".:"table" (task_name, priority, do_after, seq) INCLUDE (state)
WHERE state IN ('READY', 'RETRY');

-- Operators: the tasks that wait for another attempt, among a million that wait for their first.
CREATE INDEX :"retry" ON :"schema".:"table" (task_name, priority, do_after, seq)
WHERE state = 'RETRY';

-- Operators: the newest attempt of a name that is to be repeated.
CREATE INDEX :"retried" ON :"schema".:"table" (task_name, last_attempted)
WHERE state = 'RETRY';

-- pop: the pending requests of a key, newest first. Its collation is not the due index's, so that
-- no statistics, such as those of a queue that was empty a moment ago, can make the planner take
-- that one for the requests of a key and read every due task of the name instead.
CREATE INDEX :"key" ON :"schema".:"table" (task_key, task_name COLLATE "C", seq)
WHERE state IN ('READY', 'RETRY');

-- pop: whether a key is running, how many of a name are. rescue: what runs. The proof of P4.
CREATE UNIQUE INDEX :"running" ON :"schema".:"table" (task_name, task_key)
WHERE state = 'IN PROGRESS';

-- look: the attempts of a worker that somebody asked to cancel.
CREATE INDEX :"cancel" ON :"schema".:"table" (claimed_by)
WHERE state = 'IN PROGRESS' AND cancel_requested IS NOT NULL;

-- Operators: the last attempts of a name that ended. Superseded rows are apart, or a hundred
-- thousand of them would stand between the reader and the last message.
CREATE INDEX :"finished" ON :"schema".:"table" (task_name, last_attempted)
WHERE state IN ('DONE', 'FAILED', 'CANCELLED') AND superseded_by IS NULL;

-- Operators: the superseded requests of a name, newest first.
CREATE INDEX :"superseded" ON :"schema".:"table" (task_name, last_attempted)
WHERE state = 'CANCELLED' AND superseded_by IS NOT NULL;

-- Operators: the failed tasks of a name, and how many.
CREATE INDEX :"failed" ON :"schema".:"table" (task_name, last_attempted)
WHERE state = 'FAILED';

-- Operators: what was cancelled, by them or for want of a worker: a few among millions that ended.
CREATE INDEX :"cancelled" ON :"schema".:"table" (task_name, last_attempted)
WHERE state = 'CANCELLED' AND superseded_by IS NULL;

-- Operators: what a legacy table holds in states that are none of the six; nearly always empty.
CREATE INDEX :"odd" ON :"schema".:"table" (task_name, task_key)
WHERE state NOT IN ('READY', 'IN PROGRESS', 'RETRY', 'DONE', 'FAILED', 'CANCELLED');

-- Operators: the finished requests of a key. requeue: whether a newer one is DONE.
CREATE INDEX :"finished_key" ON :"schema".:"table" (task_key, task_name COLLATE "C", seq)
WHERE state IN ('DONE', 'FAILED', 'CANCELLED');

-- A queue's rows are updated twice and then rest; statistics and dead rows must be looked after
-- by what changes, not by how much history lies beside it.
ALTER TABLE :"schema".:"table" SET (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_analyze_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- What operators decide about a task name, and what its workers told of it.
CREATE TABLE :"schema".:"runner" (
    task_name varchar(64) PRIMARY KEY,
    paused_at timestamptz,
    paused_by text,
    pause_reason text,
    resume_at timestamptz,
    operator_limit integer,
    registered_limit integer,
    stream varchar(64),
    interval_seconds double precision,
    last_seen timestamptz
);

-- The workers, their names (with the slots of each, in the same order) and their leases.
CREATE TABLE :"schema".:"worker" (
    worker_id uuid PRIMARY KEY,
    host text NOT NULL,
    pid integer NOT NULL,
    names varchar(64)[] NOT NULL,
    name_slots integer[] NOT NULL,
    slots integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_seconds double precision NOT NULL,
    leaving_at timestamptz,
    version text NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 100);

-- The runners that found nothing to do: inserts of their names send a notification.
CREATE TABLE :"schema".:"sleeper" (
    task_name varchar(64) NOT NULL,
    worker_id uuid NOT NULL,
    PRIMARY KEY (task_name, worker_id)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 100);

-- The scheduled actions, one run at a time in the whole cluster.
CREATE TABLE :"schema".:"schedule" (
    name varchar(64) PRIMARY KEY,
    interval_seconds double precision NOT NULL,
    stream varchar(64),
    next_at timestamptz NOT NULL,
    running_by uuid,
    started_at timestamptz,
    ended_at timestamptz,
    last_error text
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 100);

-- Counts per name and minute, for people to look at, never for decisions.
CREATE TABLE :"schema".:"minute" (
    task_name varchar(64) NOT NULL,
    minute timestamptz NOT NULL,
    worker_id uuid NOT NULL,
    done bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    retried bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    superseded bigint NOT NULL DEFAULT 0,
    run_seconds double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (task_name, minute, worker_id)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 100);

-- Who did what, from where and why; written in the transaction of the deed.
CREATE TABLE :"schema".:"audit" (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    who text NOT NULL,
    host text NOT NULL,
    via text NOT NULL,
    db_role text NOT NULL DEFAULT session_user,
    verb text NOT NULL,
    task_name text NOT NULL,
    target jsonb NOT NULL,
    reason text NOT NULL,
    matched integer NOT NULL,
    changed integer NOT NULL,
    skipped integer NOT NULL
);

CREATE TABLE :"schema".:"migration" (
    version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- An insert wakes the runners that sleep, and only them: a NOTIFY takes a database-wide lock
-- until commit, and one for every insert more than halved their rate. Producers need no right on
-- the sleepers (SECURITY DEFINER). The channel is `esync.postgres.names.channel`.
DO $do$
DECLARE
    schema_name text := current_setting('esync.schema');
    table_name text := current_setting('esync.table');
BEGIN
    EXECUTE format(
        $sql$
        CREATE FUNCTION %1$I.%2$I() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $body$
        BEGIN
            IF EXISTS (SELECT FROM %1$I.%3$I) THEN
                PERFORM pg_notify(%4$L, a.task_name)
                FROM (
                    SELECT DISTINCT task_name
                    FROM added
                    WHERE do_after <= clock_timestamp()
                ) AS a
                WHERE EXISTS (SELECT FROM %1$I.%3$I AS s WHERE s.task_name = a.task_name);
            END IF;
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

CREATE TRIGGER :"wake"
AFTER INSERT ON :"schema".:"table"
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION :"schema".:"wake"();

INSERT INTO :"schema".:"migration" (version) VALUES (1);
