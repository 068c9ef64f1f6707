"""What a worker costs that has nothing to do."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict

from esync import PostgresDriver, TaskManager
from tests.bench.fleet import cpu_of, cpu_seconds, fleet, server_pids

if TYPE_CHECKING:
    from tests.bench.server import Server

RUNNERS = 20
SETTLE_SECONDS = 5.0
SECONDS = 60.0

# Idle sessions hand in their counts at once when they are idle, but at most once a second.
_FLUSH_SECONDS = 1.2
_TRANSACTIONS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s"
_BACKENDS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'esync:%%'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """One worker that was left alone."""

    cpu_percent: float
    """Of one core."""
    server_cpu_percent: float | None
    """Of the server's processes for this worker; None = they run on another machine."""
    transactions: float
    """Per second."""
    connections: int
    peak_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """What had been used at one moment."""

    at: float
    worker: float
    backends: dict[int, float]
    """CPU seconds by process; empty when they run on another machine."""
    transactions: int
    connections: int


def idle(
    server: Server,
    *,
    runners: int = RUNNERS,
    settle: float = SETTLE_SECONDS,
    seconds: float = SECONDS,
) -> Idle:
    """Leave a worker with many runners alone and read what it used."""
    with server.queue() as dsn, fleet(dsn) as workers:
        (worker,) = workers.start(names=runners)
        with closing(PostgresDriver(dsn)) as driver:
            TaskManager(driver).add_task("bench.0", "warm")
            workers.starts.next()
        time.sleep(settle)
        # From another database, so that looking is not counted.
        with psycopg.connect(server.dsn, autocommit=True) as conn:
            before = _read(conn, dsn, pid=worker.pid)
            time.sleep(seconds)
            after = _read(conn, dsn, pid=worker.pid)
        peak_mb = worker.peak_mb()
        workers.stop()
    return _difference(before, after, peak_mb=peak_mb)


def _read(conn: psycopg.Connection, dsn: str, *, pid: int) -> _Reading:
    database = (conninfo_to_dict(dsn)["dbname"],)
    pids = [row[0] for row in conn.execute(_BACKENDS, database)]
    at, worker = time.monotonic(), cpu_seconds(pid)
    backends = cpu_of(server_pids(pids))
    time.sleep(_FLUSH_SECONDS)
    (transactions,) = conn.execute(_TRANSACTIONS, database).fetchone()
    return _Reading(
        at=at,
        worker=worker,
        backends=backends,
        transactions=transactions,
        connections=len(pids),
    )


def _difference(before: _Reading, after: _Reading, *, peak_mb: float) -> Idle:
    seconds = after.at - before.at
    server = sum(used - before.backends.get(pid, 0.0) for pid, used in after.backends.items())
    return Idle(
        cpu_percent=100 * (after.worker - before.worker) / seconds,
        server_cpu_percent=100 * server / seconds if after.backends else None,
        transactions=(after.transactions - before.transactions) / seconds,
        connections=after.connections,
        peak_mb=peak_mb,
    )
