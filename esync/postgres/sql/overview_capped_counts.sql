-- overview: how many tasks of each name wait and how many have FAILED, counting no more than
-- %(cap)s due ones, later ones and failed ones of a name. Locks: none. Indexes: due, failed.
SELECT
    n.task_name,
    due.ready,
    later.ready AS scheduled,
    due.retry + later.retry AS retry,
    failed.rows AS failed,
    due.rows >= %(cap)s::bigint AS is_due_capped,
    later.rows >= %(cap)s::bigint AS is_later_capped,
    failed.rows >= %(cap)s::bigint AS is_failed_capped
FROM unnest(%(names)s::text[]) AS n (task_name)
CROSS JOIN LATERAL (
    SELECT
        count(*) AS rows,
        count(*) FILTER (WHERE d.state = 'READY') AS ready,
        count(*) FILTER (WHERE d.state = 'RETRY') AS retry
    FROM (
        SELECT one.state
        FROM generate_series(0, 9) AS p (priority)
        CROSS JOIN LATERAL (
            SELECT t.state
            FROM {table} AS t
            WHERE t.task_name = n.task_name
                AND t.priority = p.priority
                AND t.state IN ('READY', 'RETRY')
                AND t.do_after <= now()
            ORDER BY t.do_after
            LIMIT %(cap)s::bigint
        ) AS one
        LIMIT %(cap)s::bigint
    ) AS d
) AS due
CROSS JOIN LATERAL (
    SELECT
        count(*) AS rows,
        count(*) FILTER (WHERE d.state = 'READY') AS ready,
        count(*) FILTER (WHERE d.state = 'RETRY') AS retry
    FROM (
        SELECT one.state
        FROM generate_series(0, 9) AS p (priority)
        CROSS JOIN LATERAL (
            SELECT t.state
            FROM {table} AS t
            WHERE t.task_name = n.task_name
                AND t.priority = p.priority
                AND t.state IN ('READY', 'RETRY')
                AND t.do_after > now()
            ORDER BY t.do_after
            LIMIT %(cap)s::bigint
        ) AS one
        LIMIT %(cap)s::bigint
    ) AS d
) AS later
CROSS JOIN LATERAL (
    SELECT count(*) AS rows
    FROM (
        SELECT
        FROM {table} AS t
        WHERE t.task_name = n.task_name AND t.state = 'FAILED'
        ORDER BY t.last_attempted
        LIMIT %(cap)s::bigint
    ) AS d
) AS failed
