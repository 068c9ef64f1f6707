"""esync on PostgreSQL: the only place that knows psycopg."""
