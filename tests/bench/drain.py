"""How many tasks a second worker processes perform, from the first handler's start to the end."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from esync import PostgresDriver, TaskManager
from tests.bench.fleet import fleet
from tests.bench.server import wait_until_done

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.server import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """One drained queue."""

    per_second: float
    peak_mb: float
    """Of the worker that used most."""
    threads: int
    """The same."""


def fill(dsn: str, count: int, *, names: int = 1, first: int = 0) -> None:
    """Add tasks, each with a key of its own, evenly over the names."""
    with closing(PostgresDriver(dsn)) as driver:
        tasks = TaskManager(driver)
        for start in range(first, first + count, 10_000):
            keys = range(start, min(start + 10_000, first + count))
            tasks.add_tasks((f"bench.{key % names}", str(key)) for key in keys)


def drain(
    server: Server,
    *,
    tasks: int,
    processes: int = 1,
    names: int = 1,
    prepare: Callable[[str], None] | None = None,
    **settings: Any,
) -> Drain:
    """Fill a fresh queue, start the workers, wait until everything is done."""
    with server.queue() as dsn:
        if prepare is not None:
            prepare(dsn)
        fill(dsn, tasks, names=names)
        server.settle(dsn)
        return drain_queue(dsn, tasks=tasks, processes=processes, names=names, **settings)


def drain_queue(dsn: str, *, tasks: int, processes: int = 1, **settings: Any) -> Drain:
    """Start workers on a filled queue and wait until everything is done."""
    with fleet(dsn) as workers:
        workers.start(processes, **settings)
        _, began = workers.starts.next()
        seconds = wait_until_done(dsn) - began
        result = Drain(
            per_second=tasks / seconds,
            peak_mb=max(worker.peak_mb() for worker in workers.workers),
            threads=max(worker.threads() for worker in workers.workers),
        )
        workers.stop()
    return result
