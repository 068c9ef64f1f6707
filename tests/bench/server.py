"""The PostgreSQL that is measured: one of our own with its default settings, or a given one."""

from __future__ import annotations

import itertools
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from esync.postgres.migrate import migrate
from tests.fix_cluster import OwnServer

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = {"max_connections": "500"}
"""Everything else stays as PostgreSQL ships it; above all fsync."""


class Server:
    """Makes a fresh queue for every figure, and reads what the server counts."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._numbers = itertools.count(1)

    @contextmanager
    def queue(self) -> Iterator[str]:
        """Lend the DSN of a fresh database with esync's schema."""
        name = f"esync_bench_{os.getpid()}_{next(self._numbers)}"
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        dsn = make_conninfo(self.dsn, dbname=name)
        try:
            migrate(dsn)
            yield dsn
        finally:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            self._execute(drop)

    def settle(self, dsn: str) -> None:
        """Let nothing of what was done before weigh on what is measured next."""
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("VACUUM ANALYZE")
            conn.execute("CHECKPOINT")

    def describe(self) -> str:
        """Return the version and the settings that decide speed, in one line."""
        names = ("fsync", "synchronous_commit", "shared_buffers", "max_wal_size", "max_connections")
        with psycopg.connect(self.dsn) as conn:
            version = conn.execute("SHOW server_version").fetchone()[0]
            shown = [f"{name} {conn.execute(f'SHOW {name}').fetchone()[0]}" for name in names]
        return f"PostgreSQL {version}, {', '.join(shown)}"

    def _execute(self, statement: sql.Composable) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            conn.execute(statement)


@contextmanager
def open_server(dsn: str | None) -> Iterator[Server]:
    """Lend the given server, or one of our own that is removed afterwards."""
    if dsn is not None:
        yield Server(dsn)
        return
    own = OwnServer(SETTINGS)
    try:
        yield Server(own.admin_dsn)
    finally:
        own.remove()


def wait_until_done(dsn: str, *, timeout: float = 300.0, look: float = 0.02) -> float:
    """Return the time.monotonic() at which every task was seen to be durably finished."""
    query = (
        "SELECT EXISTS (SELECT FROM message_queue WHERE state IN ('READY', 'RETRY')"
        " AND do_after <= now()) OR EXISTS (SELECT FROM message_queue WHERE state = 'IN PROGRESS')"
    )
    deadline = time.monotonic() + timeout
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SET enable_seqscan = off")
        while time.monotonic() < deadline:
            if not conn.execute(query).fetchone()[0]:
                return time.monotonic()
            time.sleep(look)
        left = conn.execute("SELECT state, count(*) FROM message_queue GROUP BY 1").fetchall()
    raise TimeoutError(f"tasks are left after {timeout:g} s: {left}")
