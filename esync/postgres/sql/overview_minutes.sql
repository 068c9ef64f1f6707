-- overview: the counts of the last minutes, those of all workers together; place 0 is the oldest.
-- Locks: none. Indexes: minute's primary key, one range per name.
SELECT
    n.task_name,
    m.place,
    m.done,
    m.failed_attempts,
    m.run_seconds
FROM unnest(%(names)s::text[]) AS n (task_name)
CROSS JOIN LATERAL (
    SELECT
        %(minutes)s::integer - 1 + floor(
            extract(epoch FROM c.minute - date_trunc('minute', now())) / 60
        )::integer AS place,
        sum(c.done)::bigint AS done,
        sum(c.failed + c.retried)::bigint AS failed_attempts,
        sum(c.run_seconds) AS run_seconds
    FROM {minute} AS c
    WHERE c.task_name = n.task_name
        AND c.minute > date_trunc('minute', now()) - %(minutes)s::integer * interval '1 minute'
        AND c.minute <= date_trunc('minute', now())
    GROUP BY place
) AS m
