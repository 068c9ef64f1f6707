-- count: drop the counts of the days before yesterday. Locks: the rows it deletes.
DELETE FROM {minute} AS m
WHERE m.minute < statement_timestamp() - interval '2 days'
