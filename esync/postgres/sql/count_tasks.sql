-- count_tasks: how many of the first %(scan)s tasks of some names and states match the other
-- terms, and how many there were. Locks: none. Indexes: running, due, retry, finished, failed,
-- cancelled, superseded, odd.
SELECT
    count(*) FILTER (
        WHERE (%(key_prefix)s::text IS NULL OR starts_with(c.task_key, %(key_prefix)s::text))
            AND (
                %(error)s::text IS NULL
                OR position(lower(%(error)s::text) IN lower(c.last_attempt_message)) > 0
            )
            AND (
                %(since)s::double precision IS NULL
                OR c.last_attempted >= now() - %(since)s::double precision * interval '1 s'
            )
    ) AS matching,
    count(*) AS scanned
FROM (
    SELECT r.task_key, r.last_attempt_message, r.last_attempted
    FROM unnest(%(names)s::text[]) AS n (task_name)
    CROSS JOIN LATERAL (
        (
            SELECT t.task_key, t.last_attempt_message, t.last_attempted
            FROM {table} AS t
            WHERE %(running)s::boolean
                AND t.task_name = n.task_name
                AND t.state = 'IN PROGRESS'
            LIMIT %(scan)s::bigint
        )
        UNION ALL
        (
            SELECT t.task_key, t.last_attempt_message, t.last_attempted
            FROM {table} AS t
            WHERE %(due)s::boolean
                AND t.task_name = n.task_name
                AND t.state IN ('READY', 'RETRY')
                AND t.state = ANY (%(states)s::text[])
            ORDER BY t.priority, t.do_after, t.seq
            LIMIT %(scan)s::bigint
        )
        UNION ALL
        (
            SELECT t.task_key, t.last_attempt_message, t.last_attempted
            FROM {table} AS t
            WHERE %(retry)s::boolean
                AND t.task_name = n.task_name
                AND t.state = 'RETRY'
            ORDER BY t.priority, t.do_after, t.seq
            LIMIT %(scan)s::bigint
        )
        UNION ALL
        (
            SELECT t.task_key, t.last_attempt_message, t.last_attempted
            FROM {table} AS t
            WHERE %(finished)s::boolean
                AND t.task_name = n.task_name
                AND t.state IN ('DONE', 'FAILED', 'CANCELLED')
                AND t.superseded_by IS NULL
                AND t.state = ANY (%(states)s::text[])
                AND t.last_attempted >= coalesce(
                    now() - %(since)s::double precision * interval '1 s', '-infinity'
                )
            ORDER BY t.last_attempted DESC
            LIMIT %(scan)s::bigint
        )
        UNION ALL
        (
            SELECT t.task_key, t.last_attempt_message, t.last_attempted
            FROM {table} AS t
            WHERE %(failed)s::boolean
                AND t.task_name = n.task_name
                AND t.state = 'FAILED'
                AND t.last_attempted >= coalesce(
                    now() - %(since)s::double precision * interval '1 s', '-infinity'
                )
            ORDER BY t.last_attempted DESC
            LIMIT %(scan)s::bigint
        )
        UNION ALL
        (
            SELECT t.task_key, t.last_attempt_message, t.last_attempted
            FROM {table} AS t
            WHERE %(cancelled)s::boolean
                AND t.task_name = n.task_name
                AND t.state = 'CANCELLED'
                AND t.superseded_by IS NULL
                AND t.last_attempted >= coalesce(
                    now() - %(since)s::double precision * interval '1 s', '-infinity'
                )
            ORDER BY t.last_attempted DESC
            LIMIT %(scan)s::bigint
        )
        UNION ALL
        (
            SELECT t.task_key, t.last_attempt_message, t.last_attempted
            FROM {table} AS t
            WHERE %(superseded)s::boolean
                AND t.task_name = n.task_name
                AND t.state = 'CANCELLED'
                AND t.superseded_by IS NOT NULL
                AND t.last_attempted >= coalesce(
                    now() - %(since)s::double precision * interval '1 s', '-infinity'
                )
            ORDER BY t.last_attempted DESC
            LIMIT %(scan)s::bigint
        )
        UNION ALL
        (
            SELECT t.task_key, t.last_attempt_message, t.last_attempted
            FROM {table} AS t
            WHERE %(odd)s::boolean
                AND t.task_name = n.task_name
                AND t.state NOT IN
                    ('READY', 'IN PROGRESS', 'RETRY', 'DONE', 'FAILED', 'CANCELLED')
            LIMIT %(scan)s::bigint
        )
    ) AS r
    LIMIT %(scan)s::bigint
) AS c
