"""Single adds over one connection, by the calls of libpq themselves.

psycopg's pool and cursor would take a quarter of the time of an add, as much as its commit
(`python -m tests.bench`); psycopg.pq is their documented lower layer.
"""

from __future__ import annotations

import select
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus

from esync.postgres.faults import translate, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg.pq.abc import PGconn

    from esync.postgres.lane import Connection

_NAME = b"esync_add"
_CANCEL_SECONDS = 1.0


class Adder:
    """Runs one prepared statement for one thread at a time; threads that find it busy go on."""

    def __init__(self, statement: bytes, connect: Callable[[], Connection]) -> None:
        self._statement = statement
        self._connect = connect
        self._lock = threading.Lock()  # guards the connection and its use
        self._conn: Connection | None = None
        self._poll = select.poll()  # watches the socket of _conn

    def try_add(self, values: Sequence[object]) -> bool:
        """Run the statement, durable on return; False when another thread is at it."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            conn = self._open()
            try:
                with translated():
                    texts = [None if value is None else str(value).encode() for value in values]
                    conn.pgconn.send_query_prepared(_NAME, texts)
                    self._wait(conn.pgconn)
            finally:
                if conn.pgconn.transaction_status != TransactionStatus.IDLE:
                    self._break_off(conn)
        finally:
            self._lock.release()
        return True

    def close(self) -> None:
        """Close the connection; the next add opens a new one."""
        with self._lock:
            self._drop()

    def _open(self) -> Connection:
        """Return a connection that was alive a moment ago, with the statement prepared on it."""
        if self._conn is not None and self._has_ended(self._conn.pgconn):
            self._drop()
        if self._conn is None:
            self._conn = self._connect()
            self._poll = select.poll()
            self._poll.register(self._conn.fileno(), select.POLLIN)
            try:
                self._conn.pgconn.send_prepare(_NAME, self._statement)
                self._wait(self._conn.pgconn)
            except psycopg.Error as exc:
                self._drop()
                raise translate(exc, was_sent=False) from exc
        return self._conn

    def _has_ended(self, pgconn: PGconn) -> bool:
        """Whether the server has closed the connection: it says so before anything is sent."""
        try:
            while self._poll.poll(0):
                pgconn.consume_input()
        except psycopg.Error:
            return True
        return False

    def _wait(self, pgconn: PGconn) -> None:
        """Wait for the end of what was sent; raise what the server says against it.

        Waiting by poll lets a signal's handler run, such as that of Ctrl-C.
        """
        while pgconn.flush():
            self._poll.modify(pgconn.socket, select.POLLIN | select.POLLOUT)
            self._poll.poll()
            self._poll.modify(pgconn.socket, select.POLLIN)
            pgconn.consume_input()
        failed = None
        while True:
            while pgconn.is_busy():
                self._poll.poll()
                pgconn.consume_input()
            if (result := pgconn.get_result()) is None:
                break
            if result.status != ExecStatus.COMMAND_OK:
                failed = result
        if failed is not None:
            raise error_from_result(failed)

    def _break_off(self, conn: Connection) -> None:
        """Give a connection up; what still runs on it, after a Ctrl-C, is not to succeed later."""
        if conn.pgconn.transaction_status == TransactionStatus.ACTIVE:
            with suppress(psycopg.Error):
                conn.cancel_safe(timeout=_CANCEL_SECONDS)
        self._drop()

    def _drop(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None
