-- count: add to the counts of the current minute. Locks: this worker's rows. Indexes: primary key.
INSERT INTO {minute} AS m (
    task_name, minute, worker_id, done, failed, retried, cancelled, superseded, run_seconds
)
SELECT
    c.task_name,
    date_trunc('minute', statement_timestamp()),
    %(worker_id)s,
    c.done,
    c.failed,
    c.retried,
    c.cancelled,
    c.superseded,
    c.run_seconds
FROM unnest(
    %(names)s::text[],
    %(done)s::bigint[],
    %(failed)s::bigint[],
    %(retried)s::bigint[],
    %(cancelled)s::bigint[],
    %(superseded)s::bigint[],
    %(run_seconds)s::double precision[]
) AS c (task_name, done, failed, retried, cancelled, superseded, run_seconds)
ON CONFLICT (task_name, minute, worker_id) DO UPDATE
SET
    done = m.done + excluded.done,
    failed = m.failed + excluded.failed,
    retried = m.retried + excluded.retried,
    cancelled = m.cancelled + excluded.cancelled,
    superseded = m.superseded + excluded.superseded,
    run_seconds = m.run_seconds + excluded.run_seconds
