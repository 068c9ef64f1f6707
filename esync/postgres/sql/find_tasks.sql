-- find: the ids of the requests of a key in every state, newest first; what was over before the
-- table was taken over comes last, by its creation. Locks: none. Indexes: key, running,
-- finished_key, odd.
SELECT f.id
FROM unnest(%(names)s::text[]) AS n (task_name)
CROSS JOIN LATERAL (
    (
        SELECT t.{id} AS id, t.seq, t.created_at
        FROM {table} AS t
        WHERE t.task_key = %(key)s::text
            AND t.task_name COLLATE "C" = n.task_name
            AND t.state COLLATE "C" IN ('READY', 'RETRY')
        ORDER BY t.seq DESC
        LIMIT %(limit)s::bigint
    )
    UNION ALL
    (
        SELECT t.{id} AS id, t.seq, t.created_at
        FROM {table} AS t
        WHERE t.task_name = n.task_name
            AND t.task_key = %(key)s::text
            AND t.state = 'IN PROGRESS'
        LIMIT 1
    )
    UNION ALL
    (
        SELECT t.{id} AS id, t.seq, t.created_at
        FROM {table} AS t
        WHERE t.task_key = %(key)s::text
            AND t.task_name COLLATE "C" = n.task_name
            AND t.state IN ('DONE', 'FAILED', 'CANCELLED')
        ORDER BY t.seq DESC, t.created_at DESC NULLS LAST
        LIMIT %(limit)s::bigint
    )
    UNION ALL
    (
        SELECT t.{id} AS id, t.seq, t.created_at
        FROM {table} AS t
        WHERE t.task_name = n.task_name
            AND t.task_key = %(key)s::text
            AND t.state NOT IN ('READY', 'IN PROGRESS', 'RETRY', 'DONE', 'FAILED', 'CANCELLED')
        LIMIT %(limit)s::bigint
    )
) AS f
ORDER BY f.seq DESC, f.created_at DESC NULLS LAST, f.id DESC
LIMIT %(limit)s::bigint
