-- time_limit: let each statement that follows in this transaction, or savepoint, take what is left
-- of the first %(until)s seconds since the transaction began. Locks: none. Indexes: none.
SELECT set_config(
    'statement_timeout',
    ceil(
        greatest(
            1,
            1000 * (
                %(until)s::double precision
                - extract(epoch FROM clock_timestamp() - transaction_timestamp())
            )
        )
    )::bigint::text || 'ms',
    true
)
