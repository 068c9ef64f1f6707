"""A real PostgreSQL for the tests: the embedded one, another installation, or a given server.

ESYNC_TEST_PG_BIN=/usr/lib/postgresql/15/bin    runs the programs of that folder instead
ESYNC_TEST_DSN=postgresql://...                 uses a server that runs already (a superuser)
"""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from esync.postgres.embedded import LOCALE_OPTIONS, embedded_installation
from esync.postgres.installation import PORT, Installation, server_account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from esync.postgres.driver import PostgresDriver

SETTINGS = {
    "max_connections": "200",
    # The tests kill servers, never machines: the system's cache is as good as a disk.
    "fsync": "off",
    "full_page_writes": "off",
    # Nothing may depend on the server's time zone.
    "timezone": "Asia/Kathmandu",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
}

# Ends the server and removes its folder when the tests are over, however they end: its standard
# input closes when their process does, kill -9 included.
_JANITOR = """
cat >/dev/null
if pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null); then
    kill -QUIT "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
fi
rm -rf "$1"
"""


class Cluster:
    """A PostgreSQL server; the one that the tests own can be stopped, restarted and killed."""

    def __init__(self, *, admin_dsn: str, own: OwnServer | None = None) -> None:
        self.admin_dsn = admin_dsn
        self._own = own
        self._numbers = itertools.count(1)
        with self.connect() as conn:
            self.version = conn.info.server_version // 10000

    def dsn(self, database: str) -> str:
        """Return the DSN of a database of this server."""
        return make_conninfo(self.admin_dsn, dbname=database)

    def database_of(self, dsn: str) -> str:
        """Return the name of the database that a DSN leads to."""
        return str(conninfo_to_dict(dsn)["dbname"])

    def connect(self) -> psycopg.Connection:
        """Open an autocommit connection as superuser."""
        return psycopg.connect(self.admin_dsn, autocommit=True, application_name="tests")

    def create_database(self, *, template: str = "template0") -> str:
        """Make a database and return its name."""
        name = f"esync_test_{os.getpid()}_{next(self._numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log")
        with self.connect() as conn:
            conn.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        with self.connect() as conn:
            conn.execute(statement.format(sql.Identifier(name)))

    def terminate(self, pattern: str, *, database: str | None = None) -> int:
        """End the sessions whose application_name is LIKE the pattern; return how many."""
        with self.connect() as conn:
            rows = conn.execute(
                "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
                " WHERE application_name LIKE %s AND pid <> pg_catalog.pg_backend_pid()"
                " AND (%s::text IS NULL OR datname = %s)",
                (pattern, database, database),
            ).fetchall()
        return sum(ended for (ended,) in rows)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: fast, or immediate as if it had crashed."""
        self._server().stop(mode)

    def start(self) -> None:
        """Start the server again; it accepts connections when this returns."""
        self._server().start()

    def restart(self, mode: str = "fast") -> None:
        """Stop the server and start it again."""
        self.stop(mode)
        self.start()

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._server().pid

    def _server(self) -> OwnServer:
        if self._own is None:
            pytest.skip("the server of ESYNC_TEST_DSN is not ours to stop")
        return self._own


class OwnServer:
    """A server in a temporary folder, with a janitor that removes both."""

    def __init__(self, settings: Mapping[str, str] = SETTINGS) -> None:
        self._settings = settings
        self.folder = Path(tempfile.mkdtemp(prefix="esync-test-", dir="/tmp"))
        self.data = self.folder / "data"
        self._janitor = subprocess.Popen(
            ["/bin/sh", "-c", _JANITOR, "janitor", str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._set_up()
        except BaseException:
            self.remove()
            raise

    @property
    def admin_dsn(self) -> str:
        port = self._settings.get("port", PORT)
        return make_conninfo(host=str(self.data), port=port, user="postgres", dbname="postgres")

    @property
    def pid(self) -> int:
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def start(self) -> None:
        self.installation.start(self.data, socket_dir=self.data, settings=self._settings)

    def stop(self, mode: str) -> None:
        self.installation.stop(self.data, mode=mode)

    def remove(self) -> None:
        self._janitor.stdin.close()
        self._janitor.wait(60)

    def _set_up(self) -> None:
        if not os.geteuid():
            self.folder.chmod(0o711)
        self.installation, options = _installation(self.folder)
        self.installation.init(self.data, *options, "--no-sync")
        self.start()


def _installation(folder: Path) -> tuple[Installation, tuple[str, ...]]:
    """Return the programs to test with, and the options of their initdb."""
    if "ESYNC_TEST_PG_BIN" not in os.environ:
        return embedded_installation(folder), LOCALE_OPTIONS
    account = server_account(folder / "data")
    installation = Installation(bin=Path(os.environ["ESYNC_TEST_PG_BIN"]), account=account)
    return installation, ("--locale=C.UTF-8",)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The PostgreSQL server of this test run."""
    if "ESYNC_TEST_DSN" in os.environ:
        yield Cluster(admin_dsn=os.environ["ESYNC_TEST_DSN"])
        return
    own = OwnServer()
    try:
        yield Cluster(admin_dsn=own.admin_dsn, own=own)
    finally:
        own.remove()


@pytest.fixture(scope="session")
def migrated_template(cluster: Cluster) -> Iterator[str]:
    """The name of a database with esync's schema, to make others of."""
    from esync.postgres.migrate import migrate  # noqa: PLC0415 - most tests do not need it

    name = cluster.create_database()
    migrate(cluster.dsn(name))
    yield name
    cluster.drop_database(name)


@pytest.fixture
def empty_database(cluster: Cluster) -> Iterator[str]:
    """The DSN of a fresh database without esync's schema."""
    name = cluster.create_database()
    yield cluster.dsn(name)
    cluster.drop_database(name)


@pytest.fixture
def make_database(cluster: Cluster, migrated_template: str) -> Iterator[Callable[[], str]]:
    """Make fresh databases with esync's schema; each call returns a DSN."""
    names: list[str] = []

    def make() -> str:
        names.append(cluster.create_database(template=migrated_template))
        return cluster.dsn(names[-1])

    yield make
    for name in names:
        cluster.drop_database(name)


@pytest.fixture
def database(make_database: Callable[[], str]) -> str:
    """The DSN of a fresh database with esync's schema."""
    return make_database()


@pytest.fixture
def driver(database: str) -> Iterator[PostgresDriver]:
    """A driver on a fresh database."""
    from esync.postgres.driver import PostgresDriver  # noqa: PLC0415 - most tests do not need it

    driver = PostgresDriver(database)
    yield driver
    driver.close()
