"""A read-only transaction in which everything that operators see at once is read."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from esync.postgres.statements import execute
from esync.postgres.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg import Cursor
    from psycopg.rows import TupleRow

    from esync.postgres.link import Connection
    from esync.postgres.names import Names

NAME_LIMIT = 2000
"""Task names that are shown; with more of them nobody could read an overview."""


class Reading:
    """One moment of the queue: its statements share a snapshot and a clock."""

    def __init__(self, conn: Connection, names: Names) -> None:
        self._conn = conn
        self._names = names

    def send(self, verb: str, **params: Any) -> Cursor[TupleRow]:
        """Send sql/<verb>.sql; inside `together` its rows may be fetched after the next."""
        return execute(self._conn, self._names, verb, params)

    def rows(self, verb: str, **params: Any) -> list[TupleRow]:
        """Return the rows of sql/<verb>.sql."""
        return self.send(verb, **params).fetchall()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let statements go in one round trip."""
        with self._conn.pipeline():
            yield

    def rows_within(self, seconds: float, verb: str, **params: Any) -> list[TupleRow] | None:
        """Return the rows of a statement, or None when it takes longer: nothing is lost then.

        Otherwise the limit holds for the rest of the transaction: let it be the last statement.
        """
        try:
            with self._conn.transaction():
                limit = f"{round(seconds * 1000)}ms"
                self._conn.execute("SELECT set_config('statement_timeout', %s, true)", [limit])
                return self.rows(verb, **params)
        except psycopg.errors.QueryCanceled:
            return None

    def task_names(self, wanted: Sequence[str] = ()) -> list[str]:
        """Return the names asked for, each once, or else every name; the empty one may be new."""
        if wanted:
            return list(dict.fromkeys(wanted))
        return [name for (name,) in self.rows("names", limit=NAME_LIMIT)]


class PostgresReader(Store):
    """The base of what operators see."""

    @contextmanager
    def _reading(self) -> Iterator[Reading]:
        """Open a transaction that reads one moment of the queue and can write nothing."""
        with self._transaction("look") as conn:
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield Reading(conn, self.names)
