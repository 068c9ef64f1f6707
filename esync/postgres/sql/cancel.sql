-- cancel: end READY and RETRY tasks of a name CANCELLED, ask those IN PROGRESS to stop; tell the
-- state that each had. The states accepted are asked of the rows in hand, which nobody else can
-- change: asked of the table they invite the planner to read a partial index whole.
-- Locks: the rows it writes; the caller holds them and the runner's lock. Indexes: primary key.
WITH target AS MATERIALIZED (
    SELECT a.place, t.row_id, t.id, t.task_key, t.state
    FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS a (id, place)
    CROSS JOIN LATERAL (
        SELECT o.ctid AS row_id, o.{id} AS id, o.task_key, o.state
        FROM {table} AS o
        WHERE o.{id} = a.id AND o.task_name = %(name)s::text
        LIMIT 1
    ) AS t
),

cancelled AS (
    UPDATE {table} AS t
    SET
        state = 'CANCELLED',
        claimed_by = NULL,
        cancel_requested = NULL,
        last_attempted = statement_timestamp(),
        last_attempt_message = 'Cancelled by ' || %(signature)s::text
    FROM target AS g
    WHERE t.ctid = ANY (ARRAY(SELECT row_id FROM target))
        AND t.ctid = g.row_id
        AND t.state = g.state
        AND g.state IN ('READY', 'RETRY')
    RETURNING t.{id} AS id
),

asked AS (
    UPDATE {table} AS t
    SET cancel_requested = %(signature)s::text
    FROM target AS g
    WHERE t.ctid = ANY (ARRAY(SELECT row_id FROM target))
        AND t.ctid = g.row_id
        AND t.state = g.state
        AND g.state = 'IN PROGRESS'
    RETURNING t.{id} AS id
)

SELECT
    g.id,
    g.task_key,
    g.state,
    NULL AS newer_state,
    g.id = ANY (ARRAY(SELECT id FROM cancelled UNION ALL SELECT id FROM asked)) AS is_changed
FROM target AS g
ORDER BY g.place
