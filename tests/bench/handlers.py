"""Point 5: coroutines that wait and threads that wait, against what arithmetic allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.crew import crew
from tests.bench.drain import drain
from tests.bench.ratio import kept
from tests.bench.report import repeat, say, table

if TYPE_CHECKING:
    from tests.bench.server import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Handlers that wait."""

    what: str
    kind: str
    tasks: int
    slots: int
    seconds: float
    least: float


CASES = (
    Case(what="coroutines", kind="await", tasks=10_000, slots=1000, seconds=0.05, least=0.7),
    Case(what="threads", kind="sleep", tasks=20_000, slots=32, seconds=0.005, least=0.85),
)
COLUMNS = (
    "handlers",
    "arithmetic/s",
    "a worker just started",
    "a worker in service",
    "share of arithmetic",
    "bound",
    "kept",
)


def run(server: Server, *, runs: int, quick: bool) -> str:
    """Return one table: tasks/s of a worker that just started, and of one in service."""
    rows = [_row(server, case, runs=runs, quick=quick) for case in CASES]
    return table("Handlers that wait", COLUMNS, rows)


def _row(server: Server, case: Case, *, runs: int, quick: bool) -> list[str]:
    tasks = case.tasks // 10 if quick else case.tasks
    say(f"handlers: {tasks:,} {case.what}")
    options = {"concurrency": case.slots}
    cold = repeat(
        lambda: (
            drain(
                server, tasks=tasks, kind=case.kind, seconds=case.seconds, options=options
            ).per_second
        ),
        runs=runs,
    )
    say(f"  {cold.show()}/s")
    with (
        server.queue() as dsn,
        crew(server, dsn, kind=case.kind, seconds=case.seconds, options=options) as workers,
    ):
        warm = repeat(lambda: workers.drain(tasks, from_resume=True), runs=runs)
    say(f"  {warm.show()}/s")
    arithmetic = case.slots / case.seconds
    shares = [figure.median / arithmetic for figure in (cold, warm)]
    what = f"{tasks:,} {case.what}, {case.seconds * 1000:g} ms, {case.slots} slots"
    return [
        what,
        f"{arithmetic:,.0f}",
        cold.show(),
        warm.show(),
        " / ".join(f"{share:.0%}" for share in shares),
        f">= {case.least:.0%}",
        " / ".join(kept(is_kept=share >= case.least) for share in shares),
    ]
