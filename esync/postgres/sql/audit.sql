-- requeue, cancel, run-now, pause, resume: write down who did what, from where and why, in the
-- transaction of the deed. Locks: none.
INSERT INTO {audit} (
    who, host, via, verb, task_name, target, reason, matched, changed, skipped
)
VALUES (
    %(who)s::text,
    %(host)s::text,
    %(via)s::text,
    %(verb)s::text,
    %(name)s::text,
    %(target)s::jsonb,
    %(reason)s::text,
    %(matched)s::integer,
    %(changed)s::integer,
    %(skipped)s::integer
)
