-- list: those of some tasks, named by their ids, that match, in the order of every list.
-- Locks: none. Indexes: primary key.
WITH named AS MATERIALIZED (
    SELECT
        t.{id} AS id,
        CASE
            WHEN t.state = 'IN PROGRESS' THEN 0
            WHEN t.state IN ('READY', 'RETRY') THEN 1
            WHEN t.state IN ('DONE', 'FAILED', 'CANCELLED') THEN 2
            ELSE 3
        END AS place,
        CASE WHEN t.state IN ('READY', 'RETRY') THEN t.priority ELSE 0 END AS priority,
        -- Numbers that grow along the list: due times, or times since then.
        CASE
            WHEN t.state IN ('READY', 'RETRY') THEN extract(epoch FROM t.do_after)
            ELSE -extract(epoch FROM t.last_attempted)
        END AS moment,
        CASE WHEN t.state IN ('READY', 'RETRY') THEN t.seq ELSE -t.seq END AS seq
    FROM {table} AS t
    WHERE t.{id} = ANY (%(ids)s::uuid[])
        AND t.task_name = ANY (%(names)s::text[])
        AND (
            t.state = ANY (%(states)s::text[])
            OR %(odd)s::boolean
            AND t.state NOT IN ('READY', 'IN PROGRESS', 'RETRY', 'DONE', 'FAILED', 'CANCELLED')
        )
        AND (%(key)s::text IS NULL OR t.task_key = %(key)s::text)
        AND (%(key_prefix)s::text IS NULL OR starts_with(t.task_key, %(key_prefix)s::text))
        AND (
            %(error)s::text IS NULL
            OR position(lower(%(error)s::text) IN lower(t.last_attempt_message)) > 0
        )
        AND t.last_attempted >= coalesce(
            now() - %(since)s::double precision * interval '1 s', '-infinity'
        )
)
SELECT
    n.id,
    n.place,
    n.priority::text,
    n.moment::text,
    n.seq::text,
    n.id::text
FROM named AS n
WHERE (n.place, n.priority, n.moment, n.seq, n.id) > (
    %(place)s::integer,
    %(priority)s::integer,
    %(moment)s::numeric,
    %(seq)s::bigint,
    %(id)s::uuid
)
ORDER BY n.place, n.priority, n.moment, n.seq, n.id
LIMIT %(limit)s::bigint
