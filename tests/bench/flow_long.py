"""Point 3: many minutes at full rate; rates and sizes as a line every so often."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from esync import PostgresDriver, TaskManager
from tests.bench.crew import crew
from tests.bench.ratio import kept
from tests.bench.report import say, table

if TYPE_CHECKING:
    from typing import Self

    from tests.bench.crew import Crew
    from tests.bench.server import Server

LINES = 20
READY = 20_000
CHUNK = 10_000
LEAST = 0.9

# Tasks are claimed in their order: while one is waiting, so are all that came later.
_IS_WAITING = """
SELECT EXISTS (
    SELECT
    FROM message_queue
    WHERE task_key = %s AND task_name COLLATE "C" = 'bench.0'
        AND state COLLATE "C" IN ('READY', 'RETRY')
)
"""
_WAITING = "SELECT count(*) FROM message_queue WHERE state IN ('READY', 'RETRY')"
_SIZES = """
SELECT
    pg_relation_size('message_queue'),
    pg_indexes_size('message_queue'),
    pg_relation_size('message_queue_due') + pg_relation_size('message_queue_key')
        + pg_relation_size('message_queue_running'),
    n_dead_tup,
    autovacuum_count
FROM pg_stat_user_tables
WHERE relname = 'message_queue'
"""
COLUMNS = (
    "after",
    "tasks done",
    "tasks/s",
    "waiting",
    "table MB",
    "indexes MB",
    "of these due, key, running MB",
    "bytes per task",
    "dead rows",
    "autovacuums",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The queue at one moment, and the rate since the last one."""

    seconds: float
    done: int
    rate: float
    waiting: int
    """More than none: the producer kept up."""
    table_bytes: int
    indexes_bytes: int
    live_bytes: int
    """Of the indexes of what is not finished."""
    dead: int
    vacuums: int

    def row(self) -> list[str]:
        """Return the cells of the line."""
        sizes = [
            f"{size / 1e6:,.1f}" for size in (self.table_bytes, self.indexes_bytes, self.live_bytes)
        ]
        per_task = (self.table_bytes + self.indexes_bytes) / max(1, self.done)
        shown = [f"{self.seconds:.0f} s", *(f"{n:,.0f}" for n in (self.done, self.rate))]
        return [
            *shown,
            f"{self.waiting:,}",
            *sizes,
            f"{per_task:,.0f}",
            f"{self.dead:,}",
            str(self.vacuums),
        ]


def run(server: Server, *, runs: int, quick: bool, minutes: float = 10.0) -> str:
    """Return a line for every twentieth of the time, and the decline."""
    del runs
    minutes = min(minutes, 0.25) if quick else minutes
    say(f"flow: {minutes:g} minutes at full rate")
    with server.queue() as dsn, crew(server, dsn) as workers:
        workers.empty()
        workers.settle()
        with Producer(dsn) as producer:
            lines = _watch(workers, producer, seconds=minutes * 60)
    first, last = (_mean(part) for part in (lines[: LINES // 3], lines[-(LINES // 3) :]))
    ratio = last / first
    verdict = [f"{first:,.0f}", f"{last:,.0f}", f"{ratio:.0%}", f">= {LEAST:.0%}"]
    columns = ("first third, tasks/s", "last third", "ratio", "bound", "kept")
    return "\n".join(
        [
            table(f"{minutes:g} minutes at full rate", COLUMNS, [line.row() for line in lines]),
            table("Its decline", columns, [[*verdict, kept(is_kept=ratio >= LEAST)]]),
        ]
    )


class Producer:
    """Keeps tasks in front of the workers, from a thread of this process."""

    def __init__(self, dsn: str) -> None:
        self.added = 0
        self._dsn = dsn
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._produce, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _produce(self) -> None:
        with (
            closing(PostgresDriver(self._dsn)) as driver,
            psycopg.connect(self._dsn, autocommit=True) as conn,
        ):
            tasks = TaskManager(driver)
            conn.execute("SET enable_seqscan = off")
            while not self._is_over.is_set():
                first = self.added - (READY - CHUNK // 2)
                if conn.execute(_IS_WAITING, (str(first),)).fetchone()[0]:
                    self._is_over.wait(0.05)
                else:
                    keys = range(self.added, self.added + CHUNK)
                    self.added += tasks.add_tasks(("bench.0", str(key)) for key in keys)


def _watch(workers: Crew, producer: Producer, *, seconds: float) -> list[Line]:
    """Look at the queue so many times, evenly over the time."""
    began, lines = time.monotonic(), []
    since = workers.clock.now()
    for number in range(1, LINES + 1):
        time.sleep(max(0.0, began + seconds * number / LINES - time.monotonic()))
        until = workers.clock.now()
        rate = workers.clock.window(since, until)
        line = _look(workers, producer, began=began, rate=rate)
        since = until
        lines.append(line)
        say("  " + ", ".join(f"{c} {v}" for c, v in zip(COLUMNS, line.row(), strict=True)))
    return lines


def _look(workers: Crew, producer: Producer, *, began: float, rate: float) -> Line:
    seconds, added = time.monotonic() - began, producer.added
    waiting = workers.clock.conn.execute(_WAITING).fetchone()[0]
    sizes = workers.clock.conn.execute(_SIZES).fetchone()
    names = ("table_bytes", "indexes_bytes", "live_bytes", "dead", "vacuums")
    done = added - waiting
    return Line(
        seconds=seconds,
        done=done,
        rate=rate,
        waiting=waiting,
        **dict(zip(names, sizes, strict=True)),
    )


def _mean(lines: list[Line]) -> float:
    return sum(line.rate for line in lines) / len(lines)
