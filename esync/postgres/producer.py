"""The producer side of PostgresDriver: adding tasks, from many threads, fast."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import tuple_row

from esync.errors import TaskValueError
from esync.postgres.faults import translated
from esync.postgres.statements import execute
from esync.postgres.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from esync.driver import ProducerDriver
    from esync.postgres.link import Connection
    from esync.postgres.names import Names
    from esync.postgres.pool import Pool
    from esync.task import NewTask

_PURPOSE = "esync:produce"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COPY = "COPY {table} ({id}, data, task_key, task_name, created_by, do_after, priority) FROM STDIN"


class PostgresProducer(Store):
    """Adds tasks over one connection, and a small pool for what comes beside it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pool: Pool | None = None
        self._pool_lock = threading.Lock()  # guards _pool

    def add(self, task: NewTask) -> None:
        """Store one request; it is durable when this returns."""
        params = _params(task)
        # The pool serves those that add beside another thread: asking it costs a tenth of an add.
        if self._lane("produce").try_exchange(self._call("add", params)) is None:
            with self._pooled() as conn:
                execute(conn, self.names, "add", params, prepare=None)

    def add_many(self, tasks: Iterable[NewTask]) -> int:
        """Store many requests in one transaction, all or none; return how many."""
        with self._pooled() as conn, conn.transaction():
            return add_many(conn, tasks, names=self.names)

    def within(self, connection: Any) -> ProducerDriver:
        """Return a producer whose requests belong to the transaction of a psycopg connection."""
        if not isinstance(connection, psycopg.Connection):
            raise TaskValueError(
                f"connection must be a psycopg.Connection, got {type(connection).__name__}"
            )
        return _Within(connection, self.names)

    def get_task_count(self, name: str | None = None) -> int:
        """Return how many tasks are READY, RETRY or IN PROGRESS, of one name or of all."""
        with self._pooled() as conn:
            return get_task_count(conn, name, names=self.names)

    def close(self) -> None:
        """Close every connection; the driver may be used again and then reconnects."""
        with self._pool_lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
        super().close()

    def _pooled(self) -> AbstractContextManager[Connection]:
        """Lend a pooled connection; translate psycopg's errors into ours."""
        return self._open_pool().connection()

    def _open_pool(self) -> Pool:
        with self._pool_lock:
            if self._pool is not None:
                return self._pool
        from esync.postgres.pool import Pool  # noqa: PLC0415 - workers and single adds need none

        pool = Pool(self._conninfo, purpose=_PURPOSE, settings=self._settings("produce"))
        with self._pool_lock:
            if self._pool is None:
                self._pool = pool
            lent = self._pool
        if lent is not pool:
            pool.close()
        return lent


class _Within:
    """Adds tasks in the transaction of somebody else's connection, whatever its settings are."""

    def __init__(self, connection: psycopg.Connection[Any], names: Names) -> None:
        self._connection = connection
        self._names = names

    def add(self, task: NewTask) -> None:
        """Store one request with the caller's transaction."""
        with translated():
            # Whether it is prepared is for the connection to say: a pooler may be behind it.
            execute(self._connection, self._names, "add", _params(task), prepare=None)

    def add_many(self, tasks: Iterable[NewTask]) -> int:
        """Store many requests with the caller's transaction; return how many."""
        checked = list(tasks)  # a bad one must not end the caller's transaction
        with translated():
            return add_many(self._connection, checked, names=self._names)

    def within(self, connection: Any) -> ProducerDriver:
        """Return a producer for another connection."""
        return _Within(connection, self._names)

    def get_task_count(self, name: str | None = None) -> int:
        """Return how many tasks are unfinished, as the caller's transaction sees them."""
        with translated():
            return get_task_count(self._connection, name, names=self._names)


def add_many(connection: psycopg.Connection[Any], tasks: Iterable[NewTask], *, names: Names) -> int:
    """COPY requests; delays count from one moment of the database's clock."""
    cursor = connection.cursor(row_factory=tuple_row)
    # As text, since the connection may have a DateStyle and a loader of its own.
    cursor.execute("SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint::text")
    ((microseconds,),) = cursor.fetchall()
    now = _EPOCH + timedelta(microseconds=int(microseconds))
    count = 0
    try:
        with cursor.copy(names.compose(_COPY).encode()) as copy:
            for row in _rows(tasks, now):
                copy.write_row(row)
                count += 1
    except _RefusedError as refused:
        raise refused.error from None
    return count


def get_task_count(connection: psycopg.Connection[Any], name: str | None, *, names: Names) -> int:
    """Count the unfinished tasks."""
    row = execute(connection, names, "task_count", {"name": name}, prepare=None).fetchone()
    return int(row[0]) if row else 0


def _params(task: NewTask) -> dict[str, Any]:
    """Return what add.sql asks for."""
    return {
        "task_id": task.task_id.hex,
        "data": task.raw_data,
        "key": task.key,
        "name": task.name,
        "created_by": task.created_by,
        "do_after": task.do_after,
        "delay": task.delay,
        "priority": task.priority,
    }


class _RefusedError(Exception):
    """A request is bad. The server logs this text; that of the error may hold task data."""

    def __init__(self, error: TaskValueError) -> None:
        super().__init__("a request was refused")
        self.error = error


def _rows(tasks: Iterable[NewTask], now: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a COPY; what is text already is written several times as fast."""
    at_once = now.isoformat()
    try:
        for task_id, name, key, raw_data, created_by, delay, do_after, priority in tasks:
            due: datetime | str = at_once
            if do_after is not None:
                due = do_after
            elif delay:
                due = now + timedelta(seconds=delay)
            yield task_id.hex, raw_data, key, name, created_by, due, str(priority)
    except TaskValueError as exc:
        raise _RefusedError(exc) from exc
