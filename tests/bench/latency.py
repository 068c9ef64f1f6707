"""How soon an idle worker starts a task, from when its request was committed."""

from __future__ import annotations

import random
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from esync import PostgresDriver, TaskManager
from tests.bench.fleet import fleet
from tests.bench.report import percentile

if TYPE_CHECKING:
    from tests.bench.fleet import Starts
    from tests.bench.server import Server

SAMPLES = 200
PAUSE_SECONDS = (0.010, 0.060)
SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds from commit to the handler's start."""

    p50: float
    p95: float
    p99: float
    most: float


def latency(server: Server, *, samples: int = SAMPLES) -> Latency:
    """Add tasks one at a time, with pauses, to a worker that has nothing else to do."""
    with (
        server.queue() as dsn,
        closing(PostgresDriver(dsn)) as driver,
        fleet(dsn) as workers,
    ):
        tasks = TaskManager(driver)
        workers.start(kind="start")
        _sample(tasks, workers.starts, key="warm")
        time.sleep(SETTLE_SECONDS)
        chance = random.Random(7)  # the same pauses in every run
        millis = []
        for number in range(samples):
            time.sleep(chance.uniform(*PAUSE_SECONDS))
            millis.append(1000 * _sample(tasks, workers.starts, key=str(number)))
        workers.stop()
    return Latency(
        p50=percentile(millis, 50),
        p95=percentile(millis, 95),
        p99=percentile(millis, 99),
        most=max(millis),
    )


def _sample(tasks: TaskManager, starts: Starts, *, key: str) -> float:
    """Return the seconds between a commit, as its client knows of it, and the start."""
    tasks.add_task("bench.0", key)
    committed = time.monotonic()
    started_key, started = starts.next()
    if started_key != key:
        raise RuntimeError(f"the task {started_key} started, {key} was awaited")
    return started - committed
