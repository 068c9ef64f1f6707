"""What tests of drivers share: values shown in failures, and rows as a legacy table holds them."""

import psycopg
import pytest

pytest.register_assert_rewrite("esync.testing", "driver_model")


@pytest.fixture
def conn(database):
    """A connection to the database of `driver`."""
    with psycopg.connect(database, autocommit=True) as conn:
        yield conn


@pytest.fixture
def insert(conn):
    """Insert rows of any columns, as producers of another language do; return their ids."""

    def insert(count=1, **columns):
        columns = {"task_name": "SPEC", "task_key": "k", "state": "READY", **columns}
        names = ", ".join(columns)
        values = ", ".join(["%s"] * len(columns))
        rows = conn.execute(
            f"INSERT INTO message_queue ({names}) SELECT {values} FROM generate_series(1, %s)"
            " RETURNING message_queue_id",
            [*columns.values(), count],
        ).fetchall()
        return [row[0] for row in rows]

    return insert


@pytest.fixture
def make_legacy(conn):
    """Give a task the place of those that were over when the table was taken over."""

    def make_legacy(task_id):
        conn.execute("ALTER TABLE message_queue ALTER COLUMN seq DROP IDENTITY IF EXISTS")
        conn.execute(
            "UPDATE message_queue SET seq = 0, state = 'DONE' WHERE message_queue_id = %s",
            [task_id],
        )

    return make_legacy
