"""A lane: one connection for one purpose, opened when it is needed and again when it was lost."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from esync.errors import SettingError
from esync.postgres.faults import translate, translated
from esync.postgres.link import Link

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg.rows import TupleRow

    from esync.postgres.link import Call, Connection

CONNECT_TIMEOUT = 5
"""Seconds."""

# A half-open connection must be noticed within about ten seconds, not hours.
_KEEPALIVE = {
    "connect_timeout": CONNECT_TIMEOUT,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

# Both statements of a pop would share one snapshot under REPEATABLE READ. Statistics of a queue
# that was empty a moment ago must not lead to sequential scans or to compilation.
_SESSION = {
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "enable_seqscan": "off",
    "jit": "off",
    "plan_cache_mode": "auto",
    # A client that vanished must not hold locks for the two hours that Linux takes to notice, nor
    # one that takes no rows for as long as it does.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
}


# Without it a crash of the server gives rows back whose handlers still run, under the same fence.
# Stronger settings than `on` are left as they are.
_DURABLE = (
    "set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
    " WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)"
)


def check_conninfo(conninfo: str) -> str:
    """Return a connection string with our limits as defaults; never repeat it in an error."""
    try:
        given = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        msg = (
            "invalid connection string; expected postgresql://user@host/database"
            " or host=... dbname=..."
        )
        raise SettingError(msg) from None
    return make_conninfo("", **{**_KEEPALIVE, "client_encoding": "UTF8", **given})


def connect(conninfo: str, *, purpose: str, settings: dict[str, str] | None = None) -> Connection:
    """Return a connection in autocommit with our session settings, or raise our own error."""
    try:
        conn = psycopg.connect(conninfo, autocommit=True, application_name=purpose[:63])
    except psycopg.Error as exc:
        raise translate(exc, was_sent=False) from exc
    try:
        configure(conn, settings or {})
    except psycopg.Error as exc:
        conn.close()
        raise translate(exc, was_sent=False) from exc
    return conn


def configure(conn: Connection, settings: dict[str, str]) -> None:
    """Give a connection our session settings in one round trip."""
    pairs = {**_SESSION, **settings}
    calls = ", ".join(["set_config(%s, %s, false)"] * len(pairs) + [_DURABLE])
    values = [text for pair in pairs.items() for text in pair]
    conn.execute(f"SELECT {calls}".encode(), values, prepare=False)


class Lane:
    """Lends its one connection to one thread at a time."""

    def __init__(
        self,
        conninfo: str,
        *,
        purpose: str,
        settings: dict[str, str],
        silence: float | None = None,
    ) -> None:
        """`silence` is that of its links."""
        self._conninfo = conninfo
        self._settings = settings
        self._silence = silence
        self._link: Link | None = None
        self._lock = threading.Lock()  # guards _link and its use
        self.purpose = purpose

    def exchange(self, *calls: Call) -> list[list[TupleRow]]:
        """Run statements in one round trip and one transaction; return the rows of each."""
        with self._lock:
            return self._exchange(calls)

    def exchange_by(self, *calls: Call) -> tuple[Link | None, list[list[TupleRow]]]:
        """Do the same; return the connection, too, which may hold something from now on."""
        with self._lock:
            rows = self._exchange(calls)
            return self._link, rows

    def try_exchange(self, *calls: Call) -> list[list[TupleRow]] | None:
        """Do the same unless another thread uses the connection."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self._exchange(calls)
        finally:
            self._lock.release()

    @property
    def link(self) -> Link | None:
        """The connection that was used last; None when none is open. To be compared, not used."""
        return self._link

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend the connection; translate psycopg's errors into ours."""
        with self._lock:
            link = self._open()
            try:
                with translated(), link.watched() as conn:
                    yield conn
            finally:
                self._drop_if_unfit(link)

    def close(self) -> None:
        """Close the connection; the next use opens a new one."""
        with self._lock:
            if self._link is not None:
                self._link.close()
                self._link = None

    def _exchange(self, calls: Sequence[Call]) -> list[list[TupleRow]]:
        link = self._open()
        try:
            return link.exchange(*calls)
        except (psycopg.Error, UnicodeError, OverflowError) as exc:
            raise translate(exc) from exc
        finally:
            self._drop_if_unfit(link)

    def _open(self) -> Link:
        if self._link is not None and self._link.has_ended():
            self._link.close()
            self._link = None
        if self._link is None:
            conn = connect(self._conninfo, purpose=self.purpose, settings=self._settings)
            self._link = Link(conn, silence=self._silence)
        return self._link

    def _drop_if_unfit(self, link: Link) -> None:
        """Close a connection that is broken or was left inside a transaction."""
        if not link.is_fit:
            link.close()
            self._link = None
