"""Workers that run already when the tasks come, timed by what the database recorded."""

from __future__ import annotations

import itertools
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import psycopg

from esync import PostgresDriver
from esync.operations import Operations
from tests.bench.drain import fill
from tests.bench.fleet import fleet, server_pids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tests.bench.cost import Cost
    from tests.bench.fleet import Fleet, Worker
    from tests.bench.server import Server

_LOOK_SECONDS = 0.05

_LOOK_RATIO = 20
_IS_RUNNING = "SELECT EXISTS (SELECT FROM message_queue WHERE state = 'IN PROGRESS')"
_IS_ASLEEP = """
SELECT EXISTS (
    SELECT
    FROM pg_locks AS l
    JOIN pg_database AS d ON d.oid = l.database
    WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.mode = 'ShareLock'
)
"""

# An operator's connection has no number.
OF_A_WORKER = "datname = current_database() AND application_name ~ '^esync:[a-z]+:[0-9]+$'"
"""The connections of workers, in pg_stat_activity."""

_CONNECTIONS = f"SELECT pid FROM pg_stat_activity WHERE {OF_A_WORKER}"

# One index probe per name and priority, so that what is due tomorrow is not read.
_IS_LEFT = """
SELECT EXISTS (SELECT FROM message_queue WHERE state = 'IN PROGRESS') OR EXISTS (
    SELECT
    FROM unnest(%(names)s::text[]) AS n (name)
    CROSS JOIN generate_series(0, 9) AS p (priority)
    CROSS JOIN LATERAL (
        SELECT
        FROM message_queue AS t
        WHERE t.task_name = n.name
            AND t.priority = p.priority
            AND t.state IN ('READY', 'RETRY')
            AND t.do_after <= now()
        LIMIT 1
    ) AS due
)
"""
_DONE = """
SELECT last_attempted, count(*)
FROM message_queue
WHERE task_name = ANY (%(names)s)
    AND state IN ('DONE', 'FAILED', 'CANCELLED')
    AND superseded_by IS NULL
    AND last_attempted >= %(since)s
    AND last_attempted < %(until)s
GROUP BY 1
ORDER BY 1
"""


class Clock:
    """Reads a queue beside its workers: the database's time, what is left, what was done."""

    def __init__(self, conn: psycopg.Connection, names: int) -> None:
        self.conn = conn
        self.names = [f"bench.{number}" for number in range(names)]

    def now(self) -> datetime:
        """Return the database's time."""
        return self.conn.execute("SELECT clock_timestamp()").fetchone()[0]

    def wait_until_done(self, *, timeout: float = 900.0) -> None:
        """Wait until nothing is due and nothing runs."""
        began = looked = time.monotonic()
        while self.conn.execute(_IS_LEFT, {"names": self.names}).fetchone()[0]:
            now = time.monotonic()
            if now > began + timeout:
                raise TimeoutError(f"tasks are left after {timeout:g} s")
            # Under an old snapshot a look takes long, and it is not what is measured.
            time.sleep(max(_LOOK_SECONDS, _LOOK_RATIO * (now - looked)))
            looked = time.monotonic()

    def done(self, since: datetime, until: datetime) -> list[tuple[datetime, int]]:
        """Return when batches were finished, and how many tasks each had."""
        params = {"names": self.names, "since": since, "until": until}
        return self.conn.execute(_DONE, params).fetchall()

    def window(self, since: datetime, until: datetime) -> float:
        """Return the tasks finished per second between two moments."""
        tasks = sum(count for _, count in self.done(since, until))
        return tasks / (until - since).total_seconds()

    def span(self, since: datetime, *, whole: bool = False) -> float:
        """Return the tasks finished per second from the first batch since then to the last.

        With `whole`, from the given moment, the first batch counted too.
        """
        done = self.done(since, self.now())
        if whole:
            done.insert(0, (since, 0))
        if len(done) < 2:
            raise RuntimeError(f"too few batches were finished to tell a rate: {done}")
        seconds = (done[-1][0] - done[0][0]).total_seconds()
        return sum(count for _, count in done[1:]) / seconds


class Crew:
    """Workers, and a clock beside them; made by `crew`."""

    def __init__(self, server: Server, dsn: str, lent: Fleet, *, clock: Clock) -> None:
        self.dsn = dsn
        self.clock = clock
        self.fleet = lent
        self._server = server
        self._driver = PostgresDriver(dsn)
        self._operations = Operations.of_this_user(self._driver, via="bench")
        self._keys = itertools.count()

    @property
    def workers(self) -> list[Worker]:
        """The processes."""
        return self.fleet.workers

    def wait_until_registered(self, *, timeout: float = 120.0) -> None:
        """Wait until every process is there."""
        deadline = time.monotonic() + timeout
        query = "SELECT count(*) FROM message_queue_worker"
        while self.clock.conn.execute(query).fetchone()[0] < len(self.workers):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not every worker is there after {timeout:g} s")
            time.sleep(_LOOK_SECONDS)

    def pause(self) -> None:
        """Let nothing be popped, and wait until nothing runs."""
        self._operations.pause(self.clock.names)
        while self.clock.conn.execute(_IS_RUNNING).fetchone()[0]:
            time.sleep(_LOOK_SECONDS)

    def resume(self) -> datetime:
        """Let everything be popped; return the database's time of just before."""
        began = self.clock.now()
        self._operations.resume(self.clock.names)
        return began

    def wait_until_awake(self, *, timeout: float = 10.0) -> None:
        """Wait until no runner sleeps."""
        deadline = time.monotonic() + timeout
        while self.clock.conn.execute(_IS_ASLEEP).fetchone()[0]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"workers are still asleep after {timeout:g} s")
            time.sleep(_LOOK_SECONDS)

    def empty(self) -> None:
        """Take every task away; nothing may be due or run."""
        self.clock.conn.execute("TRUNCATE message_queue")

    def settle(self) -> None:
        """Let nothing of what was done before weigh on what is measured next."""
        self._server.settle(self.dsn)

    def drain(
        self,
        tasks: int,
        *,
        prepare: Callable[[str], None] | None = None,
        from_resume: bool = False,
        cost: Cost | None = None,
    ) -> float:
        """Put tasks into the queue while it is paused; return how many were done per second.

        Counted from the first batch that was finished, or from when the queue was resumed. What it
        cost is measured by `cost`.
        """
        self.pause()
        if prepare is not None:
            prepare(self.dsn)
        first = next(self._keys) * 10_000_000
        fill(self.dsn, tasks, names=len(self.clock.names), first=first)
        self.settle()
        with cost or nullcontext():
            began = self.resume()
            self.clock.wait_until_done()
        return self.clock.span(began, whole=from_resume)

    def pids(self) -> list[int]:
        """Return the processes that do the work: the workers, and those of their connections.

        The server's are left out when it is on another machine.
        """
        connections = [pid for (pid,) in self.clock.conn.execute(_CONNECTIONS)]
        return [worker.pid for worker in self.workers] + server_pids(connections)

    def close(self) -> None:
        """Close the connections of the operator."""
        self._driver.close()


@contextmanager
def crew(
    server: Server, dsn: str, *, processes: int = 1, names: int = 1, **settings: Any
) -> Iterator[Crew]:
    """Lend workers that have registered and have performed some tasks."""
    with fleet(dsn) as lent, psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SET enable_seqscan = off")
        lent.start(processes, names=names, **settings)
        made = Crew(server, dsn, lent, clock=Clock(conn, names))
        try:
            made.wait_until_registered()
            made.drain(2_000 + 100 * processes + 10 * names)
            yield made
            lent.stop()
        finally:
            made.close()
