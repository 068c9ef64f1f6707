-- check_schema: the newest file of schema/ that was applied. Locks: none.
SELECT max(m.version)
FROM {migration} AS m
