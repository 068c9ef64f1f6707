"""Point 3: a key that is asked for 100,000 times while it runs holds up nobody else."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg

from esync import PostgresDriver, TaskManager
from esync.driver import RunnerInfo, WorkerInfo
from esync.engine.pace import Pace
from esync.task import Finish, TaskState
from tests.bench.fleet import fleet
from tests.bench.ratio import kept
from tests.bench.report import percentile, say, table
from tests.bench.server import wait_until_done

if TYPE_CHECKING:
    from typing import Self
    from uuid import UUID

    from tests.bench.fleet import Starts
    from tests.bench.server import Server

NAME = "bench.0"
HOT = "hot"
REQUESTS = 100_000
RUN_SECONDS = 10.0
POP_MS = 20.0
SUPERSEDED_SECONDS = 2.0
PAUSE_SECONDS = 0.005
"""Between two requests of other keys."""
COUNT = 100
"""Tasks that are popped at a time."""

# The oldest are superseded last: this finds them without reading the others.
_IS_PENDING = """
SELECT EXISTS (
    SELECT
    FROM message_queue
    WHERE task_key = 'hot' AND task_name COLLATE "C" = 'bench.0'
        AND state COLLATE "C" IN ('READY', 'RETRY')
    ORDER BY seq
    OFFSET 1
    LIMIT 1
)
"""
_ENDED = """
SELECT state, count(*)
FROM message_queue
WHERE task_key = 'hot' AND task_name COLLATE "C" = 'bench.0'
GROUP BY 1
"""
COLUMNS = ("what", "p50 ms", "p99 ms", "max ms", "samples", "bound", "kept")


@dataclass(slots=True)
class Hot:
    """What was seen of the hot key and of the others."""

    others: list[float] = field(default_factory=list)
    """Milliseconds from commit to start, of other keys."""
    superseded_seconds: float = 0.0
    """From the commit of the requests until one of them was left."""
    again_seconds: float = 0.0
    """From the end of the first attempt to the start of the second."""
    ended: dict[str, int] = field(default_factory=dict)


def run(server: Server, *, runs: int, quick: bool) -> str:
    """Return two tables; every figure comes from one run."""
    del runs
    requests = REQUESTS // 10 if quick else REQUESTS
    seconds = RUN_SECONDS * 0.4 if quick else RUN_SECONDS
    say(f"flow: {requests:,} requests of a hot key, in front of a worker")
    hot = _with_worker(server, requests=requests, seconds=seconds)
    say("flow: the same, popped by a driver alone")
    pops, slow = _with_driver(server, requests=requests, seconds=seconds / 2)
    bound = f"p99 <= {POP_MS:g} ms"
    is_kept = percentile(pops, 99) <= POP_MS
    title = f"A key that runs is asked for {requests:,} times; other keys meanwhile"
    times = table(
        title,
        COLUMNS,
        [
            _row("pop of other keys, by a driver alone", pops, bound, kept(is_kept=is_kept)),
            _row("commit to start of other keys, by a worker", hot.others, "", ""),
        ],
    )
    longest = ", ".join(f"{pop:.0f}" for pop in slow[:12]) or "none"
    note = f"{len(slow)} pops took more than {POP_MS:g} ms; the longest (ms): {longest}.\n"
    return "\n".join([times, note, _outcome(hot, requests)])


def _row(what: str, millis: list[float], bound: str, verdict: str) -> list[str]:
    shown = [f"{value:.1f}" for value in (*(percentile(millis, p) for p in (50, 99)), max(millis))]
    return [what, *shown, str(len(millis)), bound, verdict]


def _outcome(hot: Hot, requests: int) -> str:
    attempts, superseded = hot.ended.get("DONE", 0) - 1, hot.ended.get("CANCELLED", 0)
    is_soon = hot.superseded_seconds <= SUPERSEDED_SECONDS
    rows = [
        ["attempts afterwards", str(attempts), "1", kept(is_kept=attempts == 1)],
        [
            "superseded",
            f"{superseded:,}",
            f"{requests - 1:,}",
            kept(is_kept=superseded == requests - 1),
        ],
        [
            "from the last commit until one is left, s",
            f"{hot.superseded_seconds:.2f}",
            f"<= {SUPERSEDED_SECONDS:g}",
            kept(is_kept=is_soon),
        ],
        ["from the end of the attempt to the next start, s", f"{hot.again_seconds:.3f}", "", ""],
    ]
    return table("What became of the requests", ("what", "measured", "bound", "kept"), rows)


def _with_worker(server: Server, *, requests: int, seconds: float) -> Hot:
    """Let a worker run the hot key while requests of it and of others come."""
    hot = Hot()
    with (
        server.queue() as dsn,
        fleet(dsn) as workers,
        closing(PostgresDriver(dsn)) as driver,
        psycopg.connect(dsn, autocommit=True) as conn,
    ):
        conn.execute("SET enable_seqscan = off")
        tasks = TaskManager(driver)
        tasks.add_task(NAME, HOT)
        workers.start(kind="hot", seconds=seconds)
        _, started = workers.starts.next()
        with Collector(workers.starts) as collector:
            tasks.add_tasks((NAME, HOT) for _ in range(requests))
            watcher = _watch(conn, hot)
            committed = _ask(tasks, until=started + seconds - 0.5)
            watcher.join()
            collector.wait_for(HOT)
        hot.others = [(collector.at[key] - at) * 1000 for key, at in committed.items()]
        hot.again_seconds = collector.at[HOT] - started - seconds
        wait_until_done(dsn)
        hot.ended = dict(conn.execute(_ENDED).fetchall())
        workers.stop()
    return hot


def _ask(tasks: TaskManager, *, until: float) -> dict[str, float]:
    """Add tasks of other keys; return when each was committed."""
    committed = {}
    while time.monotonic() < until:
        key = str(len(committed))
        tasks.add_task(NAME, key)
        committed[key] = time.monotonic()
        time.sleep(PAUSE_SECONDS)
    return committed


class Collector:
    """Notes in a thread when the handlers of which keys start."""

    def __init__(self, starts: Starts) -> None:
        self.at: dict[str, float] = {}
        self._starts = starts
        self._is_over = False
        self._thread = threading.Thread(target=self._collect, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join()

    def wait_for(self, key: str, *, timeout: float = 60.0) -> None:
        """Wait until the handler of a key has started."""
        deadline = time.monotonic() + timeout
        while key not in self.at:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no handler of {key!r} has started after {timeout:g} s")
            time.sleep(0.05)

    def _collect(self) -> None:
        while not self._is_over:
            with suppress(TimeoutError):
                key, at = self._starts.next(0.5)
                self.at[key] = at


def _watch(conn: psycopg.Connection, hot: Hot) -> threading.Thread:
    """Note, in a thread, when at most one request of the hot key is left."""
    began = time.monotonic()

    def watch() -> None:
        while conn.execute(_IS_PENDING).fetchone()[0]:
            time.sleep(0.05)
        hot.superseded_seconds = time.monotonic() - began

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def _with_driver(
    server: Server, *, requests: int, seconds: float
) -> tuple[list[float], list[float]]:
    """Hold the hot key ourselves; return the milliseconds of every pop since it was asked for."""
    with server.queue() as dsn, closing(PostgresDriver(dsn)) as driver:
        worker_id = _register(driver)
        tasks = TaskManager(driver)
        tasks.add_task(NAME, HOT)
        driver.pop(NAME, worker_id=worker_id, count=1)
        tasks.add_tasks((NAME, HOT) for _ in range(requests))
        return _pop(driver, tasks, worker_id=worker_id, until=time.monotonic() + seconds)


def _register(driver: PostgresDriver) -> UUID:
    worker = WorkerInfo(
        worker_id=uuid4(),
        host=socket.gethostname(),
        pid=os.getpid(),
        slots=100,
        lease=300.0,
        version="bench",
    )
    driver.register(worker, [RunnerInfo(name=NAME, slots=100)])
    return worker.worker_id


def _pop(
    driver: PostgresDriver, tasks: TaskManager, *, worker_id: UUID, until: float
) -> tuple[list[float], list[float]]:
    """Add, pop and finish, by the engine's own rhythm (esync/engine/popper.py)."""
    pops, number = [], 0
    pace = Pace()
    while time.monotonic() < until:
        tasks.add_task(NAME, str(number))
        number += 1
        began = time.monotonic()
        pace.begin(began)
        skipped, place = pace.aim(began)
        popped = driver.pop(NAME, worker_id=worker_id, count=COUNT, skip_keys=skipped, after=place)
        ended = time.monotonic()
        pops.append((ended - began) * 1000)
        pace.note_place(popped, ended)
        if popped.superseded and len(popped.claims) < COUNT:
            pace.pass_over(popped.blocked, ended)
        else:
            pace.block(popped.blocked, ended)
        driver.finish(
            [Finish(claim.task_id, claim.attempt, TaskState.DONE, "") for claim in popped.claims],
            worker_id=worker_id,
        )
        time.sleep(PAUSE_SECONDS)
    return pops, sorted((pop for pop in pops if pop > POP_MS), reverse=True)
