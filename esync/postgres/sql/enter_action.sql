-- begin_action: enter a scheduled action, or follow a changed interval. Locks: its row.
INSERT INTO {schedule} AS a (name, interval_seconds, stream, next_at)
VALUES (
    %(name)s,
    %(interval)s,
    %(stream)s,
    statement_timestamp() + %(interval)s * interval '1 s'
)
ON CONFLICT (name) DO UPDATE
SET
    interval_seconds = excluded.interval_seconds,
    stream = excluded.stream,
    next_at = least(a.next_at, excluded.next_at)
WHERE a.interval_seconds <> excluded.interval_seconds
    OR a.stream IS DISTINCT FROM excluded.stream
