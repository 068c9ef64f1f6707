"""PostgresDriver passes the driver specification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from esync.postgres.driver import PostgresDriver
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

_SLEEPER = "message_queue_sleeper"


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
            tables = sql.SQL(", ").join(map(sql.Identifier, _MOMENTS | {_SLEEPER: ()}))
            conn.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(tables))
        driver = PostgresDriver(emptied_database)
        yield PostgresHarness(driver, emptied_database)
        driver.close()
