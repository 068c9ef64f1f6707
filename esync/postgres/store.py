"""What the sides of PostgresDriver share: the names, the lanes, and how statements are run."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from esync.postgres.lane import Lane, check_conninfo, connect
from esync.postgres.names import Names
from esync.postgres.statements import execute, numbered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from psycopg import Cursor
    from psycopg.rows import TupleRow

    from esync.postgres.link import Call, Connection

# Planning a pop takes 2 ms, longer than popping one task. The plans of a worker are right for every
# value and every table (there are tests of that), so the first is kept.
_KEEP_PLAN = {"plan_cache_mode": "force_generic_plan"}

# Bitmaps and whole sorts read everything before the first row, where an index has the order or most
# of it: with unlucky statistics a look read and sorted every pending task.
_IN_ORDER = {"enable_bitmapscan": "off", "enable_sort": "off"}

# What a process holds that stops between two statements must not be held for as long as it does.
_CALM = {"idle_in_transaction_session_timeout": "30s"}

_SETTINGS: Mapping[str, Mapping[str, str]] = {
    # Pops, looks and rescues: what is held for long must not stall the other runners. No less than
    # that, since busy workers wait for the table's extension, too, and a pop would be lost by it.
    "pop": {
        **_KEEP_PLAN,
        **_IN_ORDER,
        **_CALM,
        "statement_timeout": "30s",
        "lock_timeout": "1s",
    },
    "finish": {**_KEEP_PLAN, **_CALM, "statement_timeout": "30s", "lock_timeout": "10s"},
    # A heartbeat must not wait for what tends the tasks of others.
    "beat": {**_CALM, "statement_timeout": "10s", "lock_timeout": "3s"},
    # Parallel workers would hide what a poll costs.
    "look": {
        **_IN_ORDER,
        **_CALM,
        "statement_timeout": "750ms",
        "default_transaction_read_only": "on",
        "max_parallel_workers_per_gather": "0",
    },
    "act": {**_CALM, "statement_timeout": "30s", "lock_timeout": "5s"},
    # A bulk of tasks waits for whatever its caller takes them from.
    "produce": {"statement_timeout": "0", "lock_timeout": "0"},
}

_SILENCE = {"pop": 60.0, "finish": 60.0, "beat": 20.0, "look": 20.0}
"""Seconds by kind of work, twice its statement_timeout, or more than all reads of a picture may
take: a server that has said nothing by then hangs, and nobody must hang with it."""


class Store:
    """The base of PostgresDriver's three sides.

    Each kind of work has its lane: pops never wait for finishes, heartbeats for nobody.
    """

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = "public",
        table: str = "message_queue",
        listen: bool = True,
        purpose: str = "",
    ) -> None:
        self.names = Names(schema=schema, table=table)
        self._conninfo = check_conninfo(dsn)
        self._listens = listen
        self._suffix = purpose
        self._lanes: dict[str, Lane] = {}
        self._lanes_lock = threading.Lock()  # guards _lanes

    def close(self) -> None:
        """Close every connection; the driver may be used again and then reconnects."""
        with self._lanes_lock:
            lanes = list(self._lanes.values())
            self._lanes.clear()
        for lane in lanes:
            lane.close()

    def _settings(self, kind: str) -> dict[str, str]:
        return dict(_SETTINGS[kind])

    def _lane(self, kind: str) -> Lane:
        with self._lanes_lock:
            lane = self._lanes.get(kind)
            if lane is None:
                lane = Lane(
                    self._conninfo,
                    purpose=self._purpose(kind),
                    settings=self._settings(kind),
                    silence=_SILENCE.get(kind),
                )
                self._lanes[kind] = lane
            return lane

    def _connect(self, kind: str) -> Connection:
        """Open a connection of its own, for the caller to close."""
        settings = self._settings(kind) if kind in _SETTINGS else None
        return connect(self._conninfo, purpose=self._purpose(kind), settings=settings)

    def _purpose(self, kind: str) -> str:
        return f"esync:{kind}:{self._suffix}".rstrip(":")

    def _execute(
        self, conn: Connection, verb: str, params: Mapping[str, Any] | None = None
    ) -> Cursor[TupleRow]:
        return execute(conn, self.names, verb, params)

    def _rows(self, kind: str, verb: str, params: Mapping[str, Any]) -> list[TupleRow]:
        """Run one statement in its own transaction; return its rows (none for a plain update)."""
        return self._lane(kind).exchange(self._call(verb, params))[0]

    def _call(self, verb: str, params: Mapping[str, Any]) -> Call:
        """Return sql/<verb>.sql with its values; `params` may hold more than it asks for."""
        text, order = numbered(self.names, verb)
        return text, [params[name] for name in order]

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[Connection]:
        """Lend a connection inside a transaction."""
        with self._lane(kind).connection() as conn, conn.transaction():
            yield conn
