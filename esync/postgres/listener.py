"""Wake-ups from PostgreSQL: a connection that listens, and a pipe to end its waiting."""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from esync.postgres.faults import translate

if TYPE_CHECKING:
    from esync.postgres.link import Connection


class PostgresListener:
    """Waits for the notifications of one channel.

    One thread waits; any thread may close. A notification is a hint and its payload a guess:
    every role of the database may send one.
    """

    def __init__(self, conn: Connection, *, channel: str) -> None:
        self._conn = conn
        self._encoding = conn.info.encoding
        self._lock = threading.Lock()  # guards the three below
        self._is_closed = False
        self._is_waiting = False
        self._pipe: tuple[int, int] | None = os.pipe()
        try:
            conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        except psycopg.Error as exc:
            self.close()
            raise translate(exc) from exc

    def wait(self, timeout: float) -> list[str] | None:
        """Return the payloads that came within so many seconds; None once closed."""
        with self._lock:
            if self._is_closed or self._pipe is None:
                return None
            self._is_waiting, wake_end = True, self._pipe[0]
        try:
            return self._wait(timeout, wake_end)
        except (psycopg.Error, OSError) as exc:
            self.close()
            raise translate(exc) from exc
        finally:
            with self._lock:
                self._is_waiting = False
                if self._is_closed:
                    self._dispose()

    def close(self) -> None:
        """Stop waiting; the connection is closed as soon as nobody waits on it."""
        with self._lock:
            self._is_closed = True
            if not self._is_waiting:
                self._dispose()
            elif self._pipe is not None:
                os.write(self._pipe[1], b"x")

    def _wait(self, timeout: float, wake_end: int) -> list[str] | None:
        payloads = self._received()
        if not payloads:
            select.select([self._conn.fileno(), wake_end], [], [], timeout)
            payloads = self._received()
        return None if self._is_closed else payloads

    def _received(self) -> list[str]:
        # By the calls of libpq, as in link.py: psycopg's generator takes several times as long, in
        # which the popper, just woken by this thread, waits for the interpreter's lock.
        payloads = []
        self._conn.pgconn.consume_input()
        while (notify := self._conn.pgconn.notifies()) is not None:
            payloads.append(notify.extra.decode(self._encoding, "replace"))
        return payloads

    def _dispose(self) -> None:
        self._conn.close()
        if self._pipe is not None:
            for end in self._pipe:
                os.close(end)
            self._pipe = None
