-- list: what lists show of some tasks; whether the key has a newer request looks at its last 200
-- that ended. Locks: none. Indexes: primary keys, key, running, finished_key.
SELECT
    t.{id} AS id,
    t.task_name,
    t.task_key,
    t.state,
    t.seq,
    t.priority,
    t.attempts,
    t.tries,
    t.crashes,
    t.created_at::text,
    coalesce(t.created_by, '') AS created_by,
    t.do_after::text,
    CASE WHEN t.state <> 'READY' OR t.attempts > 0 THEN t.last_attempted::text END
        AS last_attempted,
    left(t.last_attempt_message, 300) AS message,
    coalesce(w.host || ':' || w.pid, left(t.claimed_by::text, 8), '') AS worker,
    t.superseded_by,
    t.cancel_requested,
    EXISTS (
        SELECT
        FROM {table} AS n
        WHERE n.task_key = t.task_key
            AND n.task_name COLLATE "C" = t.task_name
            AND n.state COLLATE "C" IN ('READY', 'RETRY')
            AND n.seq > t.seq
    ) OR EXISTS (
        SELECT
        FROM {table} AS n
        WHERE n.task_name = t.task_name
            AND n.task_key = t.task_key
            AND n.state = 'IN PROGRESS'
            AND n.seq > t.seq
    ) OR EXISTS (
        SELECT
        FROM (
            SELECT n.state
            FROM {table} AS n
            WHERE n.task_key = t.task_key
                AND n.task_name COLLATE "C" = t.task_name
                AND n.state IN ('DONE', 'FAILED', 'CANCELLED')
                AND n.seq > t.seq
            ORDER BY n.seq DESC
            LIMIT 200
        ) AS n
        WHERE n.state = 'DONE'
    ) OR EXISTS (
        -- What was over before the table was taken over has no place in the order of arrival.
        SELECT
        FROM (
            SELECT n.state, n.created_at
            FROM {table} AS n
            WHERE n.task_key = t.task_key
                AND n.task_name COLLATE "C" = t.task_name
                AND n.state IN ('DONE', 'FAILED', 'CANCELLED')
                AND n.seq = 0
            LIMIT 200
        ) AS n
        WHERE n.state = 'DONE' AND n.created_at > t.created_at
    ) AS has_newer
FROM {table} AS t
LEFT JOIN {worker} AS w ON w.worker_id = t.claimed_by
WHERE t.{id} = ANY (%(ids)s::uuid[])
