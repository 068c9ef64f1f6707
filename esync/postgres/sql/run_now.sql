-- run-now: put READY and RETRY tasks of a name before the oldest due one, in the order in which
-- they are named; tell the state that each had. A task takes the first priority that anything due
-- has, and a due time just before the oldest of it; what is due since before the year 1 (such as
-- '-infinity') stays in front, since nothing that people can read comes before it.
-- Locks: the rows it writes; the caller holds them and the runner's lock.
-- Indexes: due (two probes per priority), primary key.
WITH waiting AS MATERIALIZED (
    SELECT p.priority, oldest.do_after
    FROM generate_series(0, 9) AS p (priority)
    CROSS JOIN LATERAL (
        SELECT
        FROM {table} AS t
        WHERE t.task_name = %(name)s::text
            AND t.priority = p.priority
            AND t.state IN ('READY', 'RETRY')
            AND t.do_after <= statement_timestamp()
        ORDER BY t.do_after
        LIMIT 1
    ) AS due
    LEFT JOIN LATERAL (
        SELECT t.do_after
        FROM {table} AS t
        WHERE t.task_name = %(name)s::text
            AND t.priority = p.priority
            AND t.state IN ('READY', 'RETRY')
            AND t.do_after <= statement_timestamp()
            AND t.do_after > '0001-01-02 00:00:00+00'
        ORDER BY t.do_after
        LIMIT 1
    ) AS oldest ON true
),

target AS MATERIALIZED (
    SELECT
        a.place,
        t.row_id,
        t.id,
        t.task_key,
        t.state,
        least(t.priority, (SELECT min(priority) FROM waiting)) AS priority
    FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS a (id, place)
    CROSS JOIN LATERAL (
        SELECT o.ctid AS row_id, o.{id} AS id, o.task_key, o.state, o.priority
        FROM {table} AS o
        WHERE o.{id} = a.id AND o.task_name = %(name)s::text
        LIMIT 1
    ) AS t
),

advanced AS (
    UPDATE {table} AS t
    SET
        priority = g.priority,
        do_after = coalesce(
            (SELECT w.do_after FROM waiting AS w WHERE w.priority = g.priority),
            statement_timestamp()
        ) - (cardinality(%(ids)s::uuid[]) - g.place + 1) * interval '1 microsecond',
        claimed_by = NULL
    FROM target AS g
    WHERE t.ctid = ANY (ARRAY(SELECT row_id FROM target))
        AND t.ctid = g.row_id
        AND t.state = g.state
        AND g.state IN ('READY', 'RETRY')
    RETURNING t.{id} AS id
)

SELECT g.id, g.task_key, g.state, NULL AS newer_state, r.id IS NOT NULL AS is_changed
FROM target AS g
LEFT JOIN advanced AS r ON r.id = g.id
ORDER BY g.place
