"""Point 3: the drain rate stays as the table, the backlog and the number of names grow."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from esync.task import TaskState
from tests.bench.crew import crew
from tests.bench.ratio import Ratio, ratios
from tests.bench.report import Figure, say, table
from tests.bench.seed import seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.crew import Crew
    from tests.bench.server import Server

_DAY = 86400.0
_WARM_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What lies beside the tasks that are drained."""

    what: str
    least: float
    names: int = 1
    options: dict[str, float] = field(default_factory=dict)
    """Settings of the handlers."""
    once: Callable[[str], None] | None = None
    """Fills the table before everything."""
    always: Callable[[str], None] | None = None
    """Fills the emptied table before every round."""


def run(server: Server, *, runs: int, quick: bool, finished: int = 10_000_000) -> str:
    """Return the table of ratios, and what 200 names need."""
    tasks = 10_000 if quick else 100_000
    finished = finished // 10 if quick else finished
    later = 10_000 if quick else 100_000
    cases = [
        Case(
            what=f"{later:,} due tomorrow before, higher priority",
            least=0.9,
            always=partial(_tomorrow, count=later, priority=0),
        ),
        Case(
            what=f"{later:,} due tomorrow, same priority",
            least=0.9,
            always=partial(_tomorrow, count=later, priority=5),
        ),
        Case(what="200 names against 1", least=0.7, names=200),
        Case(
            what="interval, timeout, concurrency 8 and limit 2,000 against none of them",
            least=0.9,
            options={"interval": 3600.0, "timeout": 30.0, "concurrency": 8, "limit": 2000},
        ),
        Case(
            what=f"{finished:,} finished rows beside",
            least=0.9,
            once=partial(_history, count=finished),
        ),
    ]
    needs: list[list[str]] = []
    lines = [_compare(server, case, tasks=tasks, runs=runs, needs=needs) for case in cases]
    lines.append(_backlog(server, runs=runs, quick=quick))
    columns = ("worker", "threads", "connections", "kinds")
    return "\n".join(
        [
            ratios(f"Flat as work grows: {tasks:,} tasks drained, tasks/s", lines),
            table("What one worker needs", columns, needs),
        ]
    )


def _compare(server: Server, case: Case, *, tasks: int, runs: int, needs: list[list[str]]) -> Ratio:
    """Drain by turns beside nothing and beside what the case puts there."""
    say(f"scale: {case.what}")
    base, measured = [], []
    with ExitStack() as stack:
        bare, grown = (stack.enter_context(server.queue()) for _ in range(2))
        if case.once is not None:
            case.once(grown)
        ones = stack.enter_context(crew(server, bare))
        others = stack.enter_context(crew(server, grown, names=case.names, options=case.options))
        for _ in range(runs):
            base.append(_round(ones, tasks))
            measured.append(_round(others, tasks, prepare=case.always, keep=bool(case.once)))
            say(f"  {base[-1]:,.0f}/s against {measured[-1]:,.0f}/s")
        base.append(_round(ones, tasks))
        if case.names > 1:
            needs += [_needs(ones, names=1), _needs(others, names=case.names)]
    return Ratio(
        what=case.what,
        base=Figure(tuple(base)),
        measured=Figure(tuple(measured)),
        least=case.least,
    )


def _round(
    workers: Crew,
    tasks: int,
    *,
    prepare: Callable[[str], None] | None = None,
    keep: bool = False,
) -> float:
    if not keep:
        workers.empty()
    return workers.drain(tasks, prepare=prepare)


def _tomorrow(dsn: str, *, count: int, priority: int) -> None:
    seed(dsn, count, state=TaskState.READY, prefix="tomorrow:", priority=priority, delay=_DAY)


def _history(dsn: str, *, count: int) -> None:
    seed(dsn, count, state=TaskState.DONE, prefix="old:")


def _needs(workers: Crew, *, names: int) -> list[str]:
    """Return the threads and connections of a worker."""
    (worker,) = workers.workers
    rows = workers.clock.conn.execute(
        "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE %s",
        (f"esync:%:{worker.pid}",),
    ).fetchall()
    kinds: dict[str, int] = defaultdict(int)
    for (name,) in rows:
        kinds[name.split(":")[1]] += 1
    shown = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    return [f"{names} name{'s' * (names > 1)}", str(worker.threads()), str(len(rows)), shown]


def _backlog(server: Server, *, runs: int, quick: bool) -> Ratio:
    """Drain a large backlog for some seconds, and small ones whole."""
    large = 100_000 if quick else 1_000_000
    small, rounds = (5_000, 2) if quick else (20_000, 5)
    seconds = 1.0 if quick else 10.0
    say(f"scale: {large:,} READY against {small:,}")
    base, measured = [], []
    with ExitStack() as stack:
        few, many = (
            stack.enter_context(crew(server, stack.enter_context(server.queue()))) for _ in range(2)
        )
        for _ in range(runs):
            base.append(statistics.median(_round(few, small) for _ in range(rounds)))
            measured.append(_window(many, large, seconds=seconds))
            say(f"  {base[-1]:,.0f}/s against {measured[-1]:,.0f}/s")
        base.append(statistics.median(_round(few, small) for _ in range(rounds)))
    return Ratio(
        what=f"{large:,} READY against {small:,}",
        base=Figure(tuple(base)),
        measured=Figure(tuple(measured)),
        least=0.9,
    )


def _window(workers: Crew, ready: int, *, seconds: float) -> float:
    """Return the rate over some seconds in front of so many tasks."""
    workers.pause()
    workers.empty()
    seed(workers.dsn, ready, state=TaskState.READY, prefix="ready:")
    workers.settle()
    began = workers.resume()
    time.sleep(_WARM_SECONDS + seconds)
    workers.pause()
    since = began + timedelta(seconds=_WARM_SECONDS)
    return workers.clock.window(since, since + timedelta(seconds=seconds))
