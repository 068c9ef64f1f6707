-- rescue: take out the workers whose lease ran out, give back their tasks, IN PROGRESS as they
-- were seen. Also the tasks whose worker has no row (its last pop committed after its rescue),
-- and after ten minutes those of legacy processors, which have no worker at all. Without a sweep
-- what runs is read only if a lease has run out. A sweep reads all of it, so a worker leaves it to
-- the first of those that live.
-- Locks: the rows it writes. Indexes: running, primary keys. The workers are read whole.
WITH stale AS (
    DELETE FROM {worker} AS w
    WHERE w.worker_id IN (
        SELECT s.worker_id
        FROM {worker} AS s
        WHERE s.heartbeat < statement_timestamp() - s.lease_seconds * interval '1 s'
            -- A leaving worker ends its process at once; give it the moment that takes.
            OR s.leaving_at < statement_timestamp() - interval '300 ms'
        FOR UPDATE SKIP LOCKED
    )
    RETURNING
        w.worker_id,
        w.host || ':' || w.pid AS worker,
        w.leaving_at IS NOT NULL AS has_left
),

-- The one that sweeps most often, of several the first by its id.
earlier AS MATERIALIZED (
    SELECT
    FROM {worker} AS w
    JOIN {worker} AS mine ON mine.worker_id = %(worker_id)s::uuid
    WHERE (w.lease_seconds, w.worker_id) < (mine.lease_seconds, mine.worker_id)
        AND w.heartbeat > statement_timestamp() - w.lease_seconds * interval '1 s'
        AND w.leaving_at IS NULL
    LIMIT 1
),

lost AS MATERIALIZED (
    SELECT
        t.ctid AS row_id,
        t.attempts,
        t.claimed_by,
        coalesce(s.worker, t.claimed_by::text, 'a processor of the original') AS worker,
        t.claimed_by IS NOT NULL AND NOT coalesce(s.has_left, false) AS is_crash
    FROM {table} AS t
    LEFT JOIN stale AS s ON s.worker_id = t.claimed_by
    LEFT JOIN {worker} AS w ON w.worker_id = t.claimed_by
    WHERE t.state = 'IN PROGRESS'
        AND (SELECT %(sweep)s AND NOT EXISTS (SELECT FROM earlier) OR EXISTS (SELECT FROM stale))
        AND (
            s.worker_id IS NOT NULL
            OR (t.claimed_by IS NOT NULL AND w.worker_id IS NULL)
            OR (
                t.claimed_by IS NULL
                AND t.last_attempted < statement_timestamp() - interval '10 minutes'
            )
        )
    -- One row that somebody holds must not keep the others from being rescued; it has no worker
    -- any more then, and is seen by that next time; so are those beyond the limit, with which no
    -- rescue keeps the pops of this worker waiting for long.
    LIMIT %(limit)s
    FOR NO KEY UPDATE OF t SKIP LOCKED
),

rescued AS (
    UPDATE {table} AS t
    SET
        state = CASE
            WHEN t.cancel_requested IS NOT NULL THEN 'CANCELLED'
            WHEN l.is_crash AND t.crashes + 1 >= %(max_crashes)s THEN 'FAILED'
            WHEN l.is_crash OR t.tries > 0 OR t.claimed_by IS NULL THEN 'RETRY'
            ELSE 'READY'
        END,
        last_attempt_message = CASE
            WHEN t.cancel_requested IS NOT NULL THEN 'Cancelled by ' || t.cancel_requested
            WHEN NOT l.is_crash THEN 'Given back: ' || l.worker || ' left'
            WHEN t.crashes + 1 >= %(max_crashes)s
                THEN 'Crashed ' || (t.crashes + 1) || ' times, last with ' || l.worker
            ELSE 'Rescued: ' || l.worker || ' was not heard within its lease'
        END,
        last_attempted = statement_timestamp(),
        tries = t.tries + l.is_crash::integer,
        crashes = t.crashes + l.is_crash::integer,
        claimed_by = NULL,
        cancel_requested = NULL,
        errors = CASE
            WHEN NOT l.is_crash THEN t.errors
            ELSE CASE WHEN jsonb_array_length(t.errors) >= 20 THEN t.errors - 0 ELSE t.errors END
                || jsonb_build_array(
                    jsonb_build_object(
                        'at', statement_timestamp(),
                        'attempt', t.attempts,
                        'outcome', 'CRASHED',
                        'message', 'the worker was not heard within its lease',
                        'worker', l.worker
                    )
                )
        END
    FROM lost AS l
    WHERE t.ctid = l.row_id
        AND t.attempts = l.attempts
        AND t.claimed_by IS NOT DISTINCT FROM l.claimed_by
        AND t.state COLLATE "C" = 'IN PROGRESS'
    RETURNING t.task_name, t.state
),

schedule AS (
    UPDATE {schedule} AS a
    SET running_by = NULL, ended_at = statement_timestamp(), last_error = 'its worker was lost'
    WHERE a.running_by IS NOT NULL
        AND (
            NOT EXISTS (SELECT FROM {worker} AS w WHERE w.worker_id = a.running_by)
            OR a.running_by IN (SELECT worker_id FROM stale)
        )
),

woken AS (
    SELECT pg_notify(%(channel)s, r.task_name)
    FROM rescued AS r
    GROUP BY r.task_name
)

SELECT
    (SELECT count(*) FROM stale) AS workers,
    (SELECT count(*) FROM rescued WHERE state IN ('READY', 'RETRY')) AS retried,
    (SELECT count(*) FROM rescued WHERE state = 'FAILED') AS failed,
    (SELECT count(*) FROM woken) AS woken
