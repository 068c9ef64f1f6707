from __future__ import annotations

import psycopg
import pytest

from esync.demo.place import DemoSchema
from esync.errors import DriverError, DriverUnavailableError


def schemas(dsn):
    with psycopg.connect(dsn) as conn:
        rows = conn.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'esync_demo%'")
        return sorted(name for (name,) in rows)


def test_the_schema_is_there_as_long_as_the_demo(empty_database):
    with DemoSchema(empty_database) as schema:
        assert schemas(empty_database) == [schema.name] == ["esync_demo"]
    assert schemas(empty_database) == []


def test_demos_side_by_side_have_schemas_of_their_own(empty_database):
    with DemoSchema(empty_database) as one, DemoSchema(empty_database) as other:
        assert (one.name, other.name) == ("esync_demo", "esync_demo_2")


def test_what_a_killed_demo_left_is_replaced(empty_database):
    killed = DemoSchema(empty_database)
    killed._conn.execute("CREATE TABLE esync_demo.customer (key text)")
    killed._conn.close()
    with DemoSchema(empty_database) as schema, psycopg.connect(empty_database) as conn:
        assert schema.name == "esync_demo"
        assert conn.execute("SELECT to_regclass('esync_demo.customer')").fetchone() == (None,)


def test_a_schema_that_is_not_ours_is_left_alone(empty_database):
    with psycopg.connect(empty_database) as conn:
        conn.execute("CREATE SCHEMA esync_demo")
    with DemoSchema(empty_database) as schema:
        assert schema.name == "esync_demo_2"
    assert schemas(empty_database) == ["esync_demo"]


def test_a_schema_that_cannot_be_made_is_one_clear_line(empty_database):
    dsn = f"{empty_database} options='-c default_transaction_read_only=on'"
    with pytest.raises(DriverError, match="the demo cannot make a schema: cannot execute"):
        DemoSchema(dsn)


@pytest.mark.parametrize(
    "dsn", ["host=/nowhere user=u password=hunter2", "postgresql:/u:hunter2@nowhere"]
)
def test_a_database_that_cannot_be_reached_does_not_tell_the_password(dsn):
    with pytest.raises(DriverUnavailableError) as caught:
        DemoSchema(dsn)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__
