"""A connection that runs prepared statements by the calls of libpq.

psycopg's cursors and pipelines cost two to three times as much of a client's CPU; an add, or the
pop of one task, is mostly that (`python -m tests.bench`). psycopg.pq is their documented lower
layer, and its rows are still psycopg's.
"""

from __future__ import annotations

import itertools
import os
import select
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, PipelineStatus, TransactionStatus

from esync.postgres.arrays import text_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg.pq.abc import PGresult
    from psycopg.rows import TupleRow

    Connection = psycopg.Connection[TupleRow]
    Call: TypeAlias = tuple[bytes, Sequence[Any]]
    """A statement with $1, $2, ... and their values; lists are arrays."""

_CANCEL_SECONDS = 1.0
# The prepared statement is another one, as behind a pooler, or its table was altered.
_UNPREPARED = frozenset({"42P05", "0A000"})
_NOT_PREPARED = "26000"


class Link:
    """Exchanges calls for rows, one thread at a time.

    What goes wrong is raised as psycopg's errors; the link is of use as long as it `is_fit`.
    """

    def __init__(self, conn: Connection, *, silence: float | None = None) -> None:
        """A server that sends nothing for `silence` seconds is taken to hang; None: never."""
        self.conn = conn
        self._silence = silence
        self._is_cut = False
        self._pgconn = conn.pgconn
        self._encoding = conn.info.encoding
        self._rows = Transformer(conn)
        self._names: dict[bytes, bytes] = {}
        self._numbers = itertools.count()
        self._poll = select.poll()
        self._poll.register(conn.fileno(), select.POLLIN)

    @property
    def is_fit(self) -> bool:
        """Whether the connection works and nothing is under way on it."""
        return (
            self._pgconn.transaction_status == TransactionStatus.IDLE
            and self._pgconn.pipeline_status == PipelineStatus.OFF
        )

    def has_ended(self) -> bool:
        """Whether the server has closed the connection: it says so before anything is sent."""
        if not self.is_fit:
            return True
        try:
            while self._poll.poll(0):
                self._pgconn.consume_input()
        except psycopg.Error:
            return True
        return False

    @contextmanager
    def watched(self) -> Iterator[Connection]:
        """Lend the connection; all that is done with it must not take longer than the silence.

        psycopg itself would wait for ever.
        """
        if self._silence is None:
            yield self.conn
            return
        # A descriptor of its own, since the number may be another connection's by then.
        with socket.socket(fileno=os.dup(self.conn.fileno())) as end:
            timer = threading.Timer(self._silence, self._cut, [end])
            timer.daemon = True
            timer.start()
            try:
                yield self.conn
            except psycopg.Error as exc:
                if self._is_cut:
                    raise self._no_answer() from exc
                raise
            finally:
                timer.cancel()

    def close(self) -> None:
        """Close the connection."""
        self.conn.close()

    def exchange(self, *calls: Call) -> list[list[TupleRow]]:
        """Run statements in one round trip and one transaction; return the rows of each.

        Each has a snapshot of its own. If one fails, none has happened.
        """
        try:
            return self._exchange_prepared(calls)
        except KeyboardInterrupt:
            # What was given up is not to succeed later.
            with suppress(psycopg.Error):
                self.conn.cancel_safe(timeout=_CANCEL_SECONDS)
            raise

    def _exchange_prepared(self, calls: Sequence[Call]) -> list[list[TupleRow]]:
        try:
            return self._exchange(calls)
        except psycopg.errors.InvalidSqlStatementName:
            # With a rollback psycopg deallocates all that the session has prepared, ours included.
            if not self.is_fit:
                raise
            self._names.clear()
            return self._exchange(calls)

    def _exchange(self, calls: Sequence[Call]) -> list[list[TupleRow]]:
        sendable = [(self._prepared(text), self._texts(values)) for text, values in calls]
        self._pgconn.enter_pipeline_mode()
        for name, texts in sendable:
            self._pgconn.send_query_prepared(name, texts)
        self._pgconn.pipeline_sync()
        results = self._results()
        self._pgconn.exit_pipeline_mode()
        for number, result in enumerate(results):
            if result.status == ExecStatus.FATAL_ERROR:
                raise self._error(result, was_first=not number)
        return [self._loaded(result) for result in results]

    def _prepared(self, statement: bytes) -> bytes:
        name = self._names.get(statement)
        if name is None:
            name = b"esync_%d" % next(self._numbers)
            self._pgconn.enter_pipeline_mode()
            self._pgconn.send_prepare(name, statement)
            self._pgconn.pipeline_sync()
            (result,) = self._results()
            self._pgconn.exit_pipeline_mode()
            if result.status != ExecStatus.COMMAND_OK:
                raise self._error(result)
            self._names[statement] = name
        return name

    def _error(self, result: PGresult, *, was_first: bool = True) -> psycopg.Error:
        error = error_from_result(result, self._encoding)
        # What came before may have taken locks of the session, and must not be done again.
        is_late = error.sqlstate == _NOT_PREPARED and not was_first
        if is_late or error.sqlstate in _UNPREPARED:
            self.close()  # or it would fail for ever
        return error

    def _texts(self, values: Sequence[Any]) -> list[bytes | None]:
        texts = [
            None
            if value is None
            else (text_array(value) if isinstance(value, list) else str(value)).encode(
                self._encoding
            )
            for value in values
        ]
        if any(text is not None and b"\0" in text for text in texts):
            # libpq would cut the value there.
            raise psycopg.DataError("text cannot contain NUL (0x00) bytes")
        return texts

    def _results(self) -> list[PGresult]:
        """Return what comes before the end of the pipeline.

        Waiting by poll, unlike libpq's own, lets a signal's handler run.
        """
        pgconn = self._pgconn
        while pgconn.flush():
            self._poll.modify(pgconn.socket, select.POLLIN | select.POLLOUT)
            self._wait()
            self._poll.modify(pgconn.socket, select.POLLIN)
            pgconn.consume_input()
        results: list[PGresult] = []
        while True:
            while pgconn.is_busy():
                self._wait()
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                if pgconn.status != ConnStatus.OK:
                    raise psycopg.OperationalError("the connection was lost")
            elif result.status == ExecStatus.PIPELINE_SYNC:
                return results
            else:
                results.append(result)

    def _cut(self, end: socket.socket) -> None:
        """End the connection under a thread that waits for it."""
        self._is_cut = True
        with suppress(OSError):  # that thread is done with it just now
            end.shutdown(socket.SHUT_RDWR)

    def _wait(self) -> None:
        """Wait for the server; close the connection to one that hangs."""
        if not self._poll.poll(None if self._silence is None else self._silence * 1000):
            self.close()
            raise self._no_answer()

    def _no_answer(self) -> psycopg.OperationalError:
        return psycopg.OperationalError(f"no answer for {self._silence:g} s")

    def _loaded(self, result: PGresult) -> list[TupleRow]:
        if result.status != ExecStatus.TUPLES_OK:
            return []
        self._rows.set_pgresult(result)
        return self._rows.load_rows(0, result.ntuples, tuple)
