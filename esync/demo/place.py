"""Where the demo keeps its tables: a schema of its own, dropped when the demo ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from esync.errors import DriverError, DriverUnavailableError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

SCHEMA = "esync_demo"
"""Its name; a second demo of the same database gets esync_demo_2, and so on."""

_COMMENT = "made by the demo of esync, dropped when the demo ends"
_DEMO_LIMIT = 20
_CONNECT_LIMIT = 10
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
_INSPECT = """
SELECT obj_description(oid, 'pg_namespace')
FROM pg_namespace
WHERE nspname = %s
"""


class DemoSchema:
    """A context manager over an empty schema.

    A session holds an advisory lock on its name, so that demos side by side do not meet, and what
    a killed demo has left is found and dropped by the next one.
    """

    def __init__(self, dsn: str) -> None:
        self._conn = _connect(dsn)
        try:
            # Not as options of the connection: those may be the user's own.
            self._conn.execute("SET client_min_messages = warning")
            self._conn.execute("SET lock_timeout = '5s'")
            self.name = self._take()
        except psycopg.Error as exc:
            self._conn.close()
            reason = exc.diag.message_primary or type(exc).__name__
            msg = f"the demo cannot make a schema: {reason}"
            raise DriverError(msg) from exc
        except BaseException:
            self._conn.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.drop()

    def drop(self) -> None:
        """Drop the schema and let its name go; a database that is away keeps it."""
        try:
            self._drop(self.name)
        except psycopg.Error:
            # The next demo finds it: the lock goes with the session.
            return
        finally:
            self._conn.close()

    def _take(self) -> str:
        for number in range(1, _DEMO_LIMIT + 1):
            name = SCHEMA if number == 1 else f"{SCHEMA}_{number}"
            if self._try(name):
                return name
        raise DriverError(f"the demo must find a free schema, {SCHEMA} and its like are all taken")

    def _try(self, name: str) -> bool:
        """Make the schema if it is free, or a dead demo's."""
        row = self._conn.execute(_LOCK, (f"esync demo {name}",)).fetchone()
        if row is None or not row[0]:
            return False
        existing = self._conn.execute(_INSPECT, (name,)).fetchone()
        if existing is not None and existing[0] != _COMMENT:
            return False
        self._drop(name)
        with self._conn.transaction():
            self._conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
            self._conn.execute(
                sql.SQL("COMMENT ON SCHEMA {} IS {}").format(
                    sql.Identifier(name), sql.Literal(_COMMENT)
                )
            )
        return True

    def _drop(self, name: str) -> None:
        self._conn.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


def _connect(dsn: str) -> psycopg.Connection[tuple[object, ...]]:
    try:
        return psycopg.connect(
            dsn,
            autocommit=True,
            connect_timeout=_CONNECT_LIMIT,
            application_name="esync:demo:schema",
        )
    except (psycopg.Error, UnicodeError) as exc:
        # Neither the text of the error nor its chain is shown: it may repeat the password.
        reason = "it cannot be reached" if isinstance(exc, psycopg.OperationalError) else "bad DSN"
        msg = f"the demo's database: {reason}"
        raise DriverUnavailableError(msg) from None
