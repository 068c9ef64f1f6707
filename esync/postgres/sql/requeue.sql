-- requeue: make FAILED, CANCELLED and DONE tasks of a name READY and due now, in the order in
-- which they are named; tell the state that each had, and the newer request that it was left for.
-- Locks: the rows it writes; the caller holds them and the runner's lock.
-- Indexes: primary key; key, running, finished_key (newer).
WITH target AS MATERIALIZED (
    SELECT a.place, t.row_id, t.id, t.task_key, t.state, newer.state AS newer_state
    FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS a (id, place)
    CROSS JOIN LATERAL (
        SELECT o.ctid AS row_id, o.{id} AS id, o.task_key, o.state, o.seq, o.created_at
        FROM {table} AS o
        WHERE o.{id} = a.id AND o.task_name = %(name)s::text
        LIMIT 1
    ) AS t
    LEFT JOIN LATERAL (
        SELECT n.state
        FROM (
            (
                SELECT o.state
                FROM {table} AS o
                WHERE o.task_key = t.task_key
                    AND o.task_name COLLATE "C" = %(name)s::text
                    AND o.state COLLATE "C" IN ('READY', 'RETRY')
                    AND o.seq > t.seq
                LIMIT 1
            )
            UNION ALL
            (
                SELECT o.state
                FROM {table} AS o
                WHERE o.task_name = %(name)s::text
                    AND o.task_key = t.task_key
                    AND o.state = 'IN PROGRESS'
                    AND o.seq > t.seq
                LIMIT 1
            )
            UNION ALL
            (
                SELECT o.state
                FROM {table} AS o
                WHERE o.task_key = t.task_key
                    AND o.task_name COLLATE "C" = %(name)s::text
                    AND o.state = 'DONE'
                    AND o.seq > t.seq
                LIMIT 1
            )
            UNION ALL
            (
                -- What was over before the table was taken over has no place in the order of
                -- arrival.
                SELECT o.state
                FROM {table} AS o
                WHERE o.task_key = t.task_key
                    AND o.task_name COLLATE "C" = %(name)s::text
                    AND o.state = 'DONE'
                    AND o.seq = 0
                    AND o.created_at > t.created_at
                LIMIT 1
            )
        ) AS n
        LIMIT 1
    ) AS newer ON %(skip_newer)s::boolean
),

requeued AS (
    UPDATE {table} AS t
    SET
        state = 'READY',
        do_after = statement_timestamp()
            - (cardinality(%(ids)s::uuid[]) - g.place) * interval '1 microsecond',
        tries = 0,
        crashes = 0,
        claimed_by = NULL,
        superseded_by = NULL,
        cancel_requested = NULL,
        last_attempt_message = left(
            'Requeued by ' || %(signature)s::text || '; it was ' || t.state
                || CASE WHEN t.last_attempt_message = '' THEN '' ELSE ': ' END
                || t.last_attempt_message,
            2000
        )
    FROM target AS g
    WHERE t.ctid = ANY (ARRAY(SELECT row_id FROM target WHERE newer_state IS NULL))
        AND t.ctid = g.row_id
        AND t.state = g.state
        AND g.state IN ('FAILED', 'CANCELLED', 'DONE')
    RETURNING t.{id} AS id
)

SELECT g.id, g.task_key, g.state, g.newer_state, r.id IS NOT NULL AS is_changed
FROM target AS g
LEFT JOIN requeued AS r ON r.id = g.id
ORDER BY g.place
