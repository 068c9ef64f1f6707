-- pop: claim the newest due request of up to %(count)s keys, supersede their older ones.
-- Locks: the pending rows of those keys; lock_briefly has taken the runner's and the stream's lock,
-- or has left word that it could not: then nothing is claimed.
-- Indexes: due (candidate), key (plain, seen, held), running (plain, seen, control).
WITH control AS MATERIALIZED (
    SELECT
        live.is_alive,
        live.is_alive AND NOT coalesce(
            r.paused_at IS NOT NULL AND coalesce(r.resume_at > statement_timestamp(), true), false
        ) AND current_setting('esync.has_locks', true) = 'true' AS is_open,
        least(
            CASE WHEN %(suspects)s THEN 1 ELSE %(count)s END,
            CASE
                WHEN coalesce(r.operator_limit, %(limit)s) IS NOT NULL
                    THEN coalesce(r.operator_limit, %(limit)s) - (
                        SELECT count(*)
                        FROM {table} AS t
                        WHERE t.task_name = %(name)s AND t.state = 'IN PROGRESS'
                    )
            END,
            CASE
                WHEN %(stream)s::text IS NOT NULL
                    THEN 1 - (
                        SELECT count(*)
                        FROM {runner} AS s
                        JOIN {table} AS t ON t.task_name = s.task_name
                        WHERE s.stream = %(stream)s AND t.state = 'IN PROGRESS'
                    ) - (
                        SELECT count(*)
                        FROM {schedule} AS a
                        WHERE a.stream = %(stream)s AND a.running_by IS NOT NULL
                    )
            END
        ) AS room
    FROM (
        SELECT
            EXISTS (
                SELECT
                FROM {worker} AS w
                WHERE w.worker_id = %(worker_id)s
                    AND w.leaving_at IS NULL
                    AND w.heartbeat > statement_timestamp() - w.lease_seconds * interval '1 s'
            ) AS is_alive
        OFFSET 0  -- looked up once
    ) AS live
    LEFT JOIN {runner} AS r ON r.task_name = %(name)s
),

-- The first due rows, in run order: one index probe per priority, so that what is due tomorrow
-- stands in nobody's way. A pop that got far says where the next may begin: what was claimed leaves
-- its entries in the index, and as long as somebody holds an old snapshot nothing removes them.
candidate AS MATERIALIZED (
    SELECT
        d.task_key,
        d.row_id,
        d.is_plain,
        p.priority,
        d.do_after,
        d.seq,
        row_number() OVER () AS place
    FROM generate_series(0, 9) AS p (priority)
    CROSS JOIN LATERAL (
        SELECT
            t.task_key,
            t.ctid AS row_id,
            t.xmax = 0 AND t.crashes = 0 AS is_plain,
            t.do_after,
            t.seq
        FROM {table} AS t
        WHERE t.task_name = %(name)s
            AND t.priority = p.priority
            AND t.state IN ('READY', 'RETRY')
            AND t.do_after <= statement_timestamp()
            AND (t.do_after, t.seq) > (
                CASE p.priority
                    WHEN %(after_priority)s::integer THEN %(after_due)s::timestamptz
                    ELSE '-infinity'
                END,
                CASE p.priority WHEN %(after_priority)s::integer THEN %(after_seq)s::bigint ELSE -1 END
            )
            AND t.task_key NOT IN (
                SELECT s.task_key
                FROM unnest(%(skip_keys)s::text[]) AS s (task_key)
            )
        ORDER BY t.do_after, t.seq
        LIMIT %(count)s
    ) AS d
    WHERE (SELECT is_open FROM control)
    LIMIT %(count)s
),

-- A key's place is that of its best-placed due request.
wanted AS MATERIALIZED (
    SELECT
        c.task_key,
        min(c.place) AS place,
        min(c.row_id) AS row_id,
        count(*) = 1 AND bool_and(c.is_plain) AND NOT %(suspects)s AS may_be_plain
    FROM candidate AS c
    GROUP BY c.task_key
),

-- Most keys have one pending request, which nobody has ever held (xmax), and do not run: those are
-- claimed as they are. Somebody who takes hold of one at this moment is waited for; if it has
-- changed the row, the row is left to the next pop (is_exhausted). LATERAL with LIMIT, so that no
-- statistics can make the planner read all pending or running rows instead of one key's.
plain AS MATERIALIZED (
    SELECT w.place, w.task_key, w.row_id
    FROM wanted AS w
    LEFT JOIN LATERAL (
        SELECT true AS is_there
        FROM {table} AS t
        WHERE t.task_key = w.task_key
            AND t.task_name COLLATE "C" = %(name)s
            AND t.state COLLATE "C" IN ('READY', 'RETRY')
            AND (t.do_after <= statement_timestamp() OR t.state = 'RETRY')
            AND t.ctid <> w.row_id
        LIMIT 1
    ) AS other ON true
    LEFT JOIN LATERAL (
        SELECT true AS is_there
        FROM {table} AS t
        WHERE t.task_name = %(name)s AND t.task_key = w.task_key AND t.state = 'IN PROGRESS'
        LIMIT 1
    ) AS running ON true
    WHERE w.may_be_plain AND other.is_there IS NULL AND running.is_there IS NULL
),

contested AS MATERIALIZED (
    SELECT w.task_key, w.place
    FROM wanted AS w
    WHERE NOT w.may_be_plain OR w.place NOT IN (SELECT p.place FROM plain AS p)
),

-- Rows of one key that this pop may touch: its part of the budget, or ten.
share AS MATERIALIZED (
    SELECT greatest(10, %(budget)s / greatest(count(*), 1)) AS budget
    FROM contested
),

seen AS MATERIALIZED (
    SELECT
        w.place,
        w.task_key,
        v.rows,
        v.newest,
        EXISTS (
            SELECT
            FROM {table} AS t
            WHERE t.task_name = %(name)s AND t.task_key = w.task_key AND t.state = 'IN PROGRESS'
        ) AS is_running
    FROM contested AS w
    CROSS JOIN LATERAL (
        SELECT
            count(*) AS rows,
            max(o.seq) FILTER (WHERE o.do_after <= statement_timestamp()) AS newest
        FROM (
            SELECT t.seq, t.do_after
            FROM {table} AS t
            WHERE t.task_key = w.task_key
                AND t.task_name COLLATE "C" = %(name)s
                AND t.state COLLATE "C" IN ('READY', 'RETRY')
                AND (t.do_after <= statement_timestamp() OR t.state = 'RETRY')
            ORDER BY t.seq DESC
            LIMIT (SELECT budget + 1 FROM share)
        ) AS o
    ) AS v
),

held AS MATERIALIZED (
    SELECT w.place, h.row_id, h.id, h.seq, h.crashes, h.is_due
    FROM contested AS w
    CROSS JOIN LATERAL (
        SELECT
            t.ctid AS row_id,
            t.{id} AS id,
            t.seq,
            t.crashes,
            t.do_after <= statement_timestamp() AS is_due
        FROM {table} AS t
        WHERE t.task_key = w.task_key
            AND t.task_name COLLATE "C" = %(name)s
            AND t.state COLLATE "C" IN ('READY', 'RETRY')
            AND (t.do_after <= statement_timestamp() OR t.state = 'RETRY')
        ORDER BY t.seq DESC
        LIMIT (SELECT budget FROM share)
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS h
),

-- Of each key the newest due row comes first. By windows, since a plan that was made on an empty
-- table would join the rows of a thousand keys one by one.
ranked AS MATERIALIZED (
    SELECT
        h.place,
        h.row_id,
        h.id,
        h.seq,
        h.crashes,
        h.is_due,
        count(*) OVER (PARTITION BY h.place) AS rows,
        row_number() OVER best_first AS rank,
        first_value(h.id) OVER best_first AS newest_id,
        first_value(h.seq) OVER best_first AS newest_seq
    FROM held AS h
    WINDOW best_first AS (PARTITION BY h.place ORDER BY h.is_due DESC, h.seq DESC, h.id DESC)
),

newest AS MATERIALIZED (
    SELECT r.place, r.row_id, r.seq, r.crashes, r.rows
    FROM ranked AS r
    WHERE r.rank = 1 AND r.is_due
),

-- A key may be claimed when every pending row of it is in hand (none was skipped because
-- somebody holds it, none was over the budget) and it is not running.
verdict AS MATERIALIZED (
    SELECT
        s.place,
        s.task_key,
        n.row_id,
        n.crashes,
        coalesce(n.seq = s.newest, false) AS is_in_hand,
        coalesce(n.seq = s.newest AND n.rows = s.rows AND NOT s.is_running, false) AS is_free
    FROM seen AS s
    FULL JOIN newest AS n ON n.place = s.place  -- each newest row has a seen one; by hash, as below
),

free AS MATERIALIZED (
    SELECT p.place, p.task_key, p.row_id
    FROM plain AS p
    UNION ALL
    SELECT v.place, v.task_key, v.row_id
    FROM verdict AS v
    WHERE v.is_free AND (v.crashes > 0) = %(suspects)s
),

chosen AS MATERIALIZED (
    SELECT f.place, f.task_key, f.row_id
    FROM free AS f
    ORDER BY f.place
    LIMIT greatest((SELECT room FROM control), 0)
),

-- A free key that the limit, the stream or the count left unchosen keeps its older requests: they
-- are its place in the order, and a key that is asked for all the time would never come first.
older AS MATERIALIZED (
    SELECT r.row_id, r.newest_id
    FROM ranked AS r
    WHERE (r.seq, r.id) < (r.newest_seq, r.newest_id)
        -- IS TRUE makes it a look-up by hash, whatever the plan expects.
        AND (
            r.place IN (
                SELECT v.place
                FROM verdict AS v
                WHERE v.is_in_hand
                    AND (NOT v.is_free OR v.place IN (SELECT c.place FROM chosen AS c))
            )
        ) IS TRUE
),

superseded AS (
    UPDATE {table} AS t
    SET
        state = 'CANCELLED',
        superseded_by = o.newest_id,
        last_attempt_message = 'Superseded by ' || o.newest_id,
        last_attempted = statement_timestamp(),
        cancel_requested = NULL
    FROM older AS o
    WHERE t.ctid = o.row_id
    RETURNING 1
),

claimed AS (
    UPDATE {table} AS t
    SET
        state = 'IN PROGRESS',
        attempts = t.attempts + 1,
        claimed_by = %(worker_id)s,
        last_attempted = statement_timestamp(),
        superseded_by = NULL,
        cancel_requested = NULL
    WHERE t.ctid = ANY (ARRAY(SELECT row_id FROM chosen))
        -- The collation of no index, so that none is read in place of the rows.
        AND t.state COLLATE "POSIX" IN ('READY', 'RETRY')
        AND t.do_after <= statement_timestamp()
    RETURNING
        t.{id} AS id,
        t.task_key,
        t.attempts,
        t.tries,
        t.crashes,
        t.data::text AS data,
        t.created_at::text AS created_at,
        t.created_by
),

-- Where the next pop may begin, if this one claimed all that it saw. Behind the last row of all
-- inserts may be committed out of their order.
reached AS MATERIALIZED (
    SELECT
        c.priority,
        CASE c.place
            WHEN %(count)s THEN c.do_after
            ELSE greatest(c.do_after, '0001-01-02') - interval '1 s'
        END AS do_after,
        CASE c.place WHEN %(count)s THEN c.seq ELSE 0 END AS seq
    FROM candidate AS c
    WHERE c.place = (SELECT count(*) FROM candidate)
        AND c.place = (SELECT count(*) FROM claimed)
)

-- One row of what this pop saw, then the claims in run order.
SELECT
    k.is_alive,
    (SELECT count(*) FROM superseded) AS superseded,
    v.blocked,
    (SELECT count(*) < %(count)s FROM candidate)
        AND (SELECT count(*) FROM claimed) = (SELECT count(*) FROM chosen) AS is_exhausted,
    CASE WHEN %(suspects)s THEN 0 ELSE v.suspects END AS suspects,
    (SELECT count(*) FROM free) > greatest(k.room, 0) AS is_limited,
    r.priority,
    r.do_after::text AS do_after,
    r.seq,
    NULL AS id,
    NULL AS task_key,
    NULL AS attempts,
    NULL AS tries,
    NULL AS crashes,
    NULL AS data,
    NULL AS created_at,
    NULL AS created_by,
    0 AS place
FROM control AS k
CROSS JOIN (
    SELECT
        array_agg(v.task_key) FILTER (WHERE NOT v.is_free) AS blocked,
        count(*) FILTER (WHERE v.is_free AND v.crashes > 0) AS suspects
    FROM verdict AS v
) AS v
LEFT JOIN reached AS r ON true
UNION ALL
SELECT
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    c.id,
    c.task_key,
    c.attempts,
    c.tries,
    c.crashes,
    c.data,
    c.created_at,
    c.created_by,
    h.place
FROM claimed AS c
-- FULL makes it a join by hash: a plan that expects one row of each would compare a thousand with a
-- thousand. CASE keeps the condition from making it a LEFT join again.
FULL JOIN chosen AS h ON h.task_key = c.task_key
WHERE CASE WHEN c.id IS NULL THEN false ELSE true END
ORDER BY place
