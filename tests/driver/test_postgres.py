"""PostgresDriver passes the driver specification."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.string import StrDumper, TextLoader

from esync.errors import TaskValueError
from esync.postgres.driver import PostgresDriver
from esync.task_manager import TaskManager
from esync.testing import DriverSpecification

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fix_cluster import Cluster

_MOMENTS = {
    "message_queue": ("created_at", "last_attempted", "do_after"),
    "message_queue_runner": ("paused_at", "resume_at", "last_seen"),
    "message_queue_worker": ("started_at", "heartbeat", "leaving_at"),
    "message_queue_schedule": ("next_at", "started_at", "ended_at"),
    "message_queue_minute": ("minute",),
    "message_queue_audit": ("at",),
}


@dataclass
class PostgresHarness:
    driver: PostgresDriver
    dsn: str

    def let_pass(self, seconds):
        """Make everything that is stored older, since nobody can move the server's clock."""
        with psycopg.connect(self.dsn) as conn:
            for table, columns in _MOMENTS.items():
                shift = sql.SQL(", ").join(
                    sql.SQL("{0} = {0} - {1} * interval '1 s'").format(
                        sql.Identifier(column), sql.Literal(seconds)
                    )
                    for column in columns
                )
                conn.execute(sql.SQL("UPDATE {} SET {}").format(sql.Identifier(table), shift))


@pytest.fixture(scope="module")
def emptied_database(cluster: Cluster, migrated_template: str) -> Iterator[str]:
    """The DSN of a database for all tests of this module: emptying costs less than making."""
    name = cluster.create_database(template=migrated_template)
    yield cluster.dsn(name)
    cluster.drop_database(name)


class TestPostgresDriver(DriverSpecification):
    @pytest.fixture
    def harness(self, emptied_database: str) -> Iterator[PostgresHarness]:
        with psycopg.connect(emptied_database) as conn:
            tables = sql.SQL(", ").join(map(sql.Identifier, _MOMENTS))
            conn.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(tables))
        driver = PostgresDriver(emptied_database)
        yield PostgresHarness(driver, emptied_database)
        driver.close()


def test_a_bad_request_among_many_stores_nothing_and_costs_no_connection(database):
    driver = PostgresDriver(database)
    tasks = TaskManager(driver)
    good = [("name", str(i)) for i in range(20_000)]  # more than COPY keeps back
    with pytest.raises(TaskValueError, match="task 20000: task key must not be empty"):
        tasks.add_tasks([*good, ("name", "")])
    assert tasks.get_task_count() == 0
    assert tasks.add_tasks(good) == 20_000
    driver.close()


def test_a_bad_request_among_many_leaves_the_callers_transaction_alone(database):
    driver = PostgresDriver(database)
    with psycopg.connect(database) as conn:
        within = TaskManager(driver).within(conn)
        within.add_task("name", "kept")
        with pytest.raises(TaskValueError):
            within.add_tasks([("name", "dropped"), ("name", "")])
        within.add_tasks([("name", "kept too")])
    assert TaskManager(driver).get_task_count() == 2
    driver.close()


@pytest.mark.parametrize(
    "prepare",
    [
        lambda conn: conn.execute("SET datestyle = 'German'"),
        lambda conn: conn.adapters.register_loader("timestamptz", TextLoader),
        lambda conn: conn.adapters.register_dumper(str, StrDumper),
        lambda conn: setattr(conn, "row_factory", dict_row),
    ],
    ids=["dates", "loader", "dumper", "rows"],
)
def test_adding_within_a_connection_does_not_mind_its_settings(database, prepare):
    driver = PostgresDriver(database)
    moment = datetime(2026, 11, 27, 12, 0, 1, 5, tzinfo=UTC)
    with psycopg.connect(database) as conn:
        prepare(conn)
        within = TaskManager(driver).within(conn)
        within.add_task("name", "1", after=moment)
        within.add_tasks([("name", "2"), within.new_task("name", "3", after=moment)])
        within.add_tasks([within.new_task("name", "4", after=3600)])
    due = {key: driver.find_tasks(key)[0].do_after for key in "1234"}
    driver.close()
    assert due["1"] == due["3"] == moment
    assert due["4"] - due["2"] == pytest.approx(timedelta(hours=1), abs=timedelta(minutes=1))


def test_a_producer_that_may_insert_and_nothing_else_wakes_who_sleeps(database):
    role = sql.Identifier(f"inserts_only_{os.getpid()}")
    driver = PostgresDriver(database)
    listener = driver.listen()
    with psycopg.connect(database, autocommit=True) as conn:
        driver.sleep(["name"], worker_id=uuid4())
        conn.execute(sql.SQL("CREATE ROLE {}").format(role))
        try:
            conn.execute(sql.SQL("GRANT INSERT ON message_queue TO {}").format(role))
            conn.execute(sql.SQL("SET ROLE {}").format(role))
            conn.execute(
                "INSERT INTO message_queue (task_key, task_name, created_by)"
                " VALUES ('a', 'other', 'test'), ('b', 'name', 'test'), ('c', 'name', 'test')"
            )
            assert listener.wait(10.0) == ["name"]
        finally:
            conn.execute(sql.SQL("RESET ROLE; DROP OWNED BY {0}; DROP ROLE {0}").format(role))
            listener.close()
            driver.close()
