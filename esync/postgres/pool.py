"""Connections for threads that add beside each other."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg_pool import ConnectionPool, PoolTimeout

from esync.errors import DriverUnavailableError
from esync.postgres.faults import translated
from esync.postgres.lane import CONNECT_TIMEOUT, configure, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esync.postgres.link import Connection

_SIZE = 8
"""Connections at most; they are opened as they are needed."""


class Pool:
    """Lends connections in autocommit; translates psycopg's errors into ours."""

    def __init__(self, conninfo: str, *, purpose: str, settings: dict[str, str]) -> None:
        """Connect once, for the reason that the pool itself would not tell."""
        self._conninfo = conninfo
        self._purpose = purpose
        self._settings = settings
        self._try_connection()
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            conninfo,
            min_size=1,
            max_size=_SIZE,
            timeout=CONNECT_TIMEOUT,
            kwargs={"autocommit": True, "application_name": purpose},
            configure=self._configure,
            name=purpose,
            open=True,
        )

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection."""
        try:
            conn = self._pool.getconn()
        except PoolTimeout as exc:
            self._try_connection()
            raise DriverUnavailableError("every connection of this process is busy") from exc
        try:
            with translated():
                yield conn
        finally:
            self._pool.putconn(conn)

    def close(self) -> None:
        """Close every connection; one that is lent is closed when it comes back."""
        self._pool.close()

    def _configure(self, conn: Connection) -> None:
        configure(conn, self._settings)

    def _try_connection(self) -> None:
        connect(self._conninfo, purpose=self._purpose).close()
