-- list: tasks that ended, newest first. Looks at the next %(scan)s of the indexes that are asked
-- for, and says where it stopped. Locks: none. Indexes: finished, failed, cancelled, superseded.
SELECT
    CASE WHEN s.is_match THEN s.id END AS id,
    s.place = %(scan)s::bigint AS is_last,
    s.last_attempted::text,
    s.id::text
FROM (
    SELECT
        d.id,
        d.last_attempted,
        d.is_match,
        row_number() OVER (ORDER BY d.last_attempted DESC, d.id DESC) AS place
    FROM (
        SELECT
            r.id,
            r.last_attempted,
            r.state = ANY (%(states)s::text[])
                AND (%(key_prefix)s::text IS NULL OR starts_with(r.task_key, %(key_prefix)s::text))
                AND (
                    %(error)s::text IS NULL
                    OR position(lower(%(error)s::text) IN lower(r.last_attempt_message)) > 0
                ) AS is_match
        FROM unnest(%(names)s::text[]) AS n (task_name)
        CROSS JOIN LATERAL (
            (
                SELECT
                    t.{id} AS id,
                    t.last_attempted,
                    t.state,
                    t.task_key,
                    t.last_attempt_message
                FROM {table} AS t
                WHERE %(finished)s::boolean
                    AND t.task_name = n.task_name
                    AND t.state IN ('DONE', 'FAILED', 'CANCELLED')
                    AND t.superseded_by IS NULL
                    AND t.last_attempted >= coalesce(
                        now() - %(since)s::double precision * interval '1 s', '-infinity'
                    )
                    AND t.last_attempted <= %(at)s::timestamptz
                    AND (t.last_attempted, t.{id}) < (%(at)s::timestamptz, %(id)s::uuid)
                ORDER BY t.last_attempted DESC, t.{id} DESC
                LIMIT %(scan)s::bigint
            )
            UNION ALL
            (
                SELECT
                    t.{id} AS id,
                    t.last_attempted,
                    t.state,
                    t.task_key,
                    t.last_attempt_message
                FROM {table} AS t
                WHERE %(failed)s::boolean
                    AND t.task_name = n.task_name
                    AND t.state = 'FAILED'
                    AND t.last_attempted >= coalesce(
                        now() - %(since)s::double precision * interval '1 s', '-infinity'
                    )
                    AND t.last_attempted <= %(at)s::timestamptz
                    AND (t.last_attempted, t.{id}) < (%(at)s::timestamptz, %(id)s::uuid)
                ORDER BY t.last_attempted DESC, t.{id} DESC
                LIMIT %(scan)s::bigint
            )
            UNION ALL
            (
                SELECT
                    t.{id} AS id,
                    t.last_attempted,
                    t.state,
                    t.task_key,
                    t.last_attempt_message
                FROM {table} AS t
                WHERE %(cancelled)s::boolean
                    AND t.task_name = n.task_name
                    AND t.state = 'CANCELLED'
                    AND t.superseded_by IS NULL
                    AND t.last_attempted >= coalesce(
                        now() - %(since)s::double precision * interval '1 s', '-infinity'
                    )
                    AND t.last_attempted <= %(at)s::timestamptz
                    AND (t.last_attempted, t.{id}) < (%(at)s::timestamptz, %(id)s::uuid)
                ORDER BY t.last_attempted DESC, t.{id} DESC
                LIMIT %(scan)s::bigint
            )
            UNION ALL
            (
                SELECT
                    t.{id} AS id,
                    t.last_attempted,
                    t.state,
                    t.task_key,
                    t.last_attempt_message
                FROM {table} AS t
                WHERE %(superseded)s::boolean
                    AND t.task_name = n.task_name
                    AND t.state = 'CANCELLED'
                    AND t.superseded_by IS NOT NULL
                    AND t.last_attempted >= coalesce(
                        now() - %(since)s::double precision * interval '1 s', '-infinity'
                    )
                    AND t.last_attempted <= %(at)s::timestamptz
                    AND (t.last_attempted, t.{id}) < (%(at)s::timestamptz, %(id)s::uuid)
                ORDER BY t.last_attempted DESC, t.{id} DESC
                LIMIT %(scan)s::bigint
            )
        ) AS r
        ORDER BY r.last_attempted DESC, r.id DESC
        LIMIT %(scan)s::bigint
    ) AS d
) AS s
WHERE s.is_match OR s.place = %(scan)s::bigint
ORDER BY s.last_attempted DESC, s.id DESC
LIMIT %(limit)s::bigint
