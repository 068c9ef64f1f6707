-- list: READY and RETRY tasks in run order. Looks at the next %(scan)s of them and says where it
-- stopped. Locks: none. Indexes: due, or retry when no others are wanted.
SELECT
    CASE WHEN s.is_match THEN s.id END AS id,
    s.place = %(scan)s::bigint AS is_last,
    s.priority::text,
    s.do_after::text,
    s.seq::text
FROM (
    SELECT
        d.id,
        d.priority,
        d.do_after,
        d.seq,
        d.is_match,
        row_number() OVER (ORDER BY d.priority, d.do_after, d.seq) AS place
    FROM (
        SELECT
            r.id,
            r.priority,
            r.do_after,
            r.seq,
            r.state = ANY (%(states)s::text[])
                AND (%(key_prefix)s::text IS NULL OR starts_with(r.task_key, %(key_prefix)s::text))
                AND (
                    %(error)s::text IS NULL
                    OR position(lower(%(error)s::text) IN lower(r.last_attempt_message)) > 0
                )
                AND r.last_attempted >= coalesce(
                    now() - %(since)s::double precision * interval '1 s', '-infinity'
                ) AS is_match
        FROM unnest(%(names)s::text[]) AS n (task_name)
        CROSS JOIN LATERAL (
            (
                SELECT
                    t.{id} AS id,
                    t.priority,
                    t.do_after,
                    t.seq,
                    t.state,
                    t.task_key,
                    t.last_attempt_message,
                    t.last_attempted
                FROM {table} AS t
                WHERE %(due)s::boolean
                    AND t.task_name = n.task_name
                    AND t.state IN ('READY', 'RETRY')
                    AND (t.priority, t.do_after, t.seq)
                        > (%(priority)s::smallint, %(do_after)s::timestamptz, %(seq)s::bigint)
                ORDER BY t.priority, t.do_after, t.seq
                LIMIT %(scan)s::bigint
            )
            UNION ALL
            (
                SELECT
                    t.{id} AS id,
                    t.priority,
                    t.do_after,
                    t.seq,
                    t.state,
                    t.task_key,
                    t.last_attempt_message,
                    t.last_attempted
                FROM {table} AS t
                WHERE %(retry)s::boolean
                    AND t.task_name = n.task_name
                    AND t.state = 'RETRY'
                    AND (t.priority, t.do_after, t.seq)
                        > (%(priority)s::smallint, %(do_after)s::timestamptz, %(seq)s::bigint)
                ORDER BY t.priority, t.do_after, t.seq
                LIMIT %(scan)s::bigint
            )
        ) AS r
        ORDER BY r.priority, r.do_after, r.seq
        LIMIT %(scan)s::bigint
    ) AS d
) AS s
WHERE s.is_match OR s.place = %(scan)s::bigint
ORDER BY s.priority, s.do_after, s.seq
LIMIT %(limit)s::bigint
