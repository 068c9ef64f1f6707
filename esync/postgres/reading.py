"""A read-only transaction in which everything that operators see at once is read.

An old snapshot keeps dead rows, and their entries in every partial index that the living have
left: what walks over a million of them takes seconds. So what looks for rows of the queue is
tried within a time, and left alone for a while when it took longer.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from esync.postgres.patience import FIRST_SECONDS, MOST_SECONDS, Patience
from esync.postgres.statements import execute
from esync.postgres.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterator, Sequence

    from psycopg import Cursor
    from psycopg.rows import TupleRow

    from esync.postgres.link import Connection
    from esync.postgres.names import Names

STATEMENT_SECONDS = 0.75
"""A statement that has no less may take so long: the statement_timeout of the lane."""

NAME_LIMIT = 2000
"""Task names that are shown; with more of them nobody could read an overview."""

_NAMES_SECONDS = 0.25
"""Looking for every name may take so long where it is not all that is wanted."""

Found = TypeVar("Found")


class Reading:
    """One moment of the queue: its statements share a snapshot and a clock."""

    def __init__(self, conn: Connection, names: Names, patience: Patience) -> None:
        self._conn = conn
        self._names = names
        self._patience = patience
        self._started = time.monotonic()
        self._until: float | None = None
        self._is_limited = False

    def send(self, verb: str, **params: Any) -> Cursor[TupleRow]:
        """Send sql/<verb>.sql; inside `together` its rows may be fetched after the next."""
        self._limit_time()
        return execute(self._conn, self._names, verb, params)

    def rows(self, verb: str, **params: Any) -> list[TupleRow]:
        """Return the rows of sql/<verb>.sql."""
        if self._until is None and not self._is_limited:
            return self.send(verb, **params).fetchall()
        with self.together():  # with its time limit
            return self.send(verb, **params).fetchall()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let statements go in one round trip; fetch their rows in the order they were sent."""
        with self._conn.pipeline():
            yield

    def attempt(
        self,
        what: Hashable,
        read: Callable[[], Found],
        *,
        seconds: float,
        slow_seconds: float | None = None,
    ) -> Found | None:
        """Return what `read` reads, or None when it takes longer or took too long not long ago.

        Too long are `slow_seconds`, if given: then it was read for the last time for a while, and
        longer each time, since there is something nearly as good.
        """
        if not self._patience.lasts_for(what):
            return None
        started = time.monotonic()
        found = self.within(seconds, read)
        took = time.monotonic() - started
        was_slow = found is None or (slow_seconds is not None and took > slow_seconds)
        longest = FIRST_SECONDS if slow_seconds is None else MOST_SECONDS
        self._patience.learn(what, was_slow=was_slow, longest=longest)
        return found

    def within(self, seconds: float, read: Callable[[], Found]) -> Found | None:
        """Return what `read` reads, or None when it takes longer: nothing is lost then.

        The statements in it share the time, also that of an outer `within`.
        """
        outer = self._until
        until = self._elapsed + seconds
        self._until = until if outer is None else min(until, outer)
        try:
            with self._conn.transaction():
                return read()
        except psycopg.errors.QueryCanceled:
            return None
        finally:
            self._until = outer

    def task_names(self, wanted: Sequence[str] = ()) -> list[str]:
        """Return the names asked for, each once, or else every name; the empty one may be new."""
        if wanted:
            return list(dict.fromkeys(wanted))
        return [name for (name,) in self.rows("names", limit=NAME_LIMIT)]

    def quick_names(
        self, wanted: Sequence[str], *, known: Collection[str]
    ) -> tuple[list[str], bool]:
        """Return the names asked for, or every name, and True; or some, and that they are not all.

        When looking for every name takes too long, these are the known ones and the runners'; of
        more than are shown, the first.
        """
        if wanted:
            return self.task_names(wanted), True
        names = self.attempt("names", self.task_names, seconds=_NAMES_SECONDS)
        if names is not None:
            return names, len(names) < NAME_LIMIT
        runners = self.rows("overview_runners", limit=NAME_LIMIT)
        return sorted({*known, *(name for name, *_ in runners)}), False

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _limit_time(self) -> None:
        """Let the next statement take what is left, or as long as any other once that is over.

        A limit outlives its savepoint. Rolling that back would end it, but then psycopg forgets
        every statement that it has prepared: polls took twice as long.
        """
        is_limited = self._until is not None
        if is_limited or self._is_limited:
            until = self._elapsed + STATEMENT_SECONDS if self._until is None else self._until
            execute(self._conn, self._names, "time_limit", {"until": until})
        self._is_limited = is_limited


class PostgresReader(Store):
    """The base of what operators see."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience = Patience()  # guarded by the lane that reads

    @contextmanager
    def _reading(self) -> Iterator[Reading]:
        """Open a transaction that reads one moment of the queue and can write nothing."""
        with self._transaction("look") as conn:
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield Reading(conn, self.names, self._patience)
