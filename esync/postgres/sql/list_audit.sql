-- list_audit: what operators did, newest first. Locks: none. Indexes: primary key.
SELECT
    a.audit_id,
    a.at::text,
    a.who,
    a.host,
    a.via,
    a.verb,
    a.task_name,
    a.target::text,
    a.reason,
    a.matched,
    a.changed,
    a.skipped
FROM {audit} AS a
ORDER BY a.audit_id DESC
LIMIT %(limit)s
