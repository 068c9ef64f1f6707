"""Point 3: an old snapshot is held while a million tasks are performed."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

import psycopg

from esync import PostgresDriver
from esync.postgres.overview import OLD_TRANSACTION_SECONDS
from esync.problems import Thresholds, find_problems
from esync.task import TaskState
from tests.bench.crew import crew
from tests.bench.ratio import Ratio, kept, ratios
from tests.bench.report import Figure, say, table
from tests.bench.seed import seed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tests.bench.server import Server

TASKS = 1_000_000
LEAST = 0.5
PARTS = 5


def run(server: Server, *, runs: int, quick: bool) -> str:
    """Return the rates without and with it, over the parts of the work, and what is said of it."""
    del runs
    tasks = TASKS // 10 if quick else TASKS
    rates = {}
    for is_held in (False, True):
        say(f"flow: {tasks:,} tasks {'under an old snapshot' if is_held else 'without a snapshot'}")
        rates[is_held], parts, told = _drain(
            server, tasks, is_held=is_held, patience=0 if quick else OLD_TRANSACTION_SECONDS
        )
        say(f"  {rates[is_held]:,.0f}/s; by parts {parts}")
        rates[is_held, "parts"] = parts
    line = Ratio(
        what=f"an old snapshot through {tasks:,} tasks",
        base=Figure((rates[False],)),
        measured=Figure((rates[True],)),
        least=LEAST,
    )
    columns = ("snapshot", *(f"part {part} of {PARTS}" for part in range(1, PARTS + 1)))
    return "\n".join(
        [
            ratios("An old snapshot: tasks/s", [line]),
            table(
                "The same, over the parts of the work: tasks/s",
                columns,
                [["none", *rates[False, "parts"]], ["held", *rates[True, "parts"]]],
            ),
            table("What the overview's problems say of it", ("when", "said", "kept"), told),
        ]
    )


def _drain(
    server: Server, tasks: int, *, is_held: bool, patience: float
) -> tuple[float, list[str], list[list[str]]]:
    with ExitStack() as stack:
        dsn = stack.enter_context(server.queue())
        workers = stack.enter_context(crew(server, dsn))
        workers.pause()
        workers.empty()
        seed(dsn, tasks, state=TaskState.READY, prefix="ready:")
        workers.settle()
        if is_held:
            stack.enter_context(_snapshot(dsn))
        began = workers.resume()
        workers.clock.wait_until_done()
        done = workers.clock.done(began, workers.clock.now())
        told = _problems(dsn, began, patience=patience) if is_held else []
        return workers.clock.span(began), _parts(done), told


@contextmanager
def _snapshot(dsn: str) -> Iterator[None]:
    """Hold a snapshot in a transaction that does nothing else, as a forgotten report would."""
    with psycopg.connect(dsn) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        conn.execute("SELECT FROM message_queue LIMIT 1")
        yield
        conn.rollback()


def _parts(done: list[tuple[datetime, int]]) -> list[str]:
    """Return the rates of so many equal parts of the tasks."""
    total = sum(count for _, count in done)
    shown, began, so_far, before = [], done[0][0], 0, 0
    for moment, count in done:
        so_far += count
        if so_far >= total * (len(shown) + 1) / PARTS:
            shown.append(f"{(so_far - before) / (moment - began).total_seconds():,.0f}")
            began, before = moment, so_far
    return shown


def _problems(dsn: str, began: datetime, *, patience: float) -> list[list[str]]:
    """Return what is said when the work is over, and what once the overview tells of it."""
    rows = [_said(dsn, began, Thresholds())]
    if patience:
        say(f"  waiting {patience:g} s for the overview to tell of it")
        time.sleep(patience)
        rows.append(_said(dsn, began, Thresholds(transaction_warning=OLD_TRANSACTION_SECONDS)))
    return rows


def _said(dsn: str, began: datetime, limits: Thresholds) -> list[str]:
    with closing(PostgresDriver(dsn)) as driver:
        overview = driver.get_overview()
    texts = [p.text for p in find_problems(overview, thresholds=limits) if "transaction" in p.text]
    seconds = (overview.at - began).total_seconds()
    when = f"{seconds:.0f} s after it was taken, warning from {limits.transaction_warning:g} s"
    return [when, "; ".join(texts) or "nothing", kept(is_kept=bool(texts))]
