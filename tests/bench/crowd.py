"""Point 4: throughput as worker processes are added, deadlocks, connections, slow handlers.

Beside it the same without an engine, by our statements and by a loop that promises nothing: what
so many processes can do on this machine at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.bench.bare_crew import Kind, bare_crew
from tests.bench.cost import Cost
from tests.bench.crew import OF_A_WORKER, crew
from tests.bench.ratio import kept
from tests.bench.report import Figure, say, table
from tests.bench.sleeps import bare_sleeps

if TYPE_CHECKING:
    from tests.bench.crew import Crew
    from tests.bench.server import Server

SIZES = (1, 2, 4, 8, 16, 50)
NAMES = (1, 10)
TASKS = 300_000
"""Fifty workers hold a third of them at once."""
FALL = 0.85
"""Of the peak of fewer processes, at least."""

BARE_SIZES = (1, 50)

SLOW_PROCESSES = 50
SLOW_SLOTS = 8
SLOW_SECONDS = 0.010
SLOW_TASKS = 100_000
SLOW_SHARE = 0.8
COLUMNS = (
    "runners",
    "processes",
    "just started, tasks/s",
    "in service, tasks/s",
    "CPU of a task, 1/1000 of a loop",
    "of the peak before",
    "bound",
    "kept",
    "deadlocks",
    "connections of a worker, at most",
)

_CONNECTIONS = f"""
SELECT count(*), string_agg(split_part(application_name, ':', 2), ' ' ORDER BY 1)
FROM pg_stat_activity
WHERE {OF_A_WORKER}
GROUP BY split_part(application_name, ':', 3)
ORDER BY 1 DESC
LIMIT 1
"""
_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


def run(server: Server, *, runs: int, quick: bool) -> str:
    """Return the tables: no-op handlers by number of processes, and slow ones; either bare, too."""
    sizes = (1, 2, 5) if quick else SIZES
    tasks = TASKS // 10 if quick else TASKS
    rows, best = [], 0.0
    rates: dict[tuple[int, int], float] = {}
    for names in NAMES:
        peak = 0.0
        for size in sizes:
            rate, row = _measure(
                server, peak=peak, processes=size, names=names, tasks=tasks, runs=runs
            )
            rows.append(row)
            rates[size, names] = rate
            peak = max(peak, rate)
        best = max(best, peak)
    return "\n".join(
        [
            table(f"Many workers: {tasks:,} no-op tasks", COLUMNS, rows),
            _bare(server, rates=rates, tasks=tasks, runs=runs, quick=quick),
            _slow(server, limit=best, runs=runs, quick=quick),
        ]
    )


def _measure(
    server: Server, *, peak: float, processes: int, names: int, tasks: int, runs: int
) -> tuple[float, list[str]]:
    """Return the rate, and its line of the table; `peak` is the best of fewer processes.

    Processes and connections that have just started are cold: what each of them must learn once
    weighs more the more there are, so the rate is that of workers that have drained a queue before.
    """
    say(f"crowd: {processes} processes, {names} runners")
    with server.queue() as dsn, crew(server, dsn, processes=processes, names=names) as workers:
        started = _round(workers, tasks)
        rates, costs = [], []
        for _ in range(runs):
            cost = Cost(workers.pids())
            rates.append(_round(workers, tasks, cost=cost))
            costs.append(cost.of_one(tasks))
        connections, kinds = workers.clock.conn.execute(_CONNECTIONS).fetchone()
        deadlocks = workers.clock.conn.execute(_DEADLOCKS).fetchone()[0]
    figure = Figure(tuple(rates))
    shown = Figure(tuple(costs)).show(1)
    say(f"  {figure.show()}/s; {started:,.0f}/s when they had just started; a task costs {shown}")
    share = figure.median / peak if peak else 1.0
    return figure.median, [
        str(names),
        str(processes),
        f"{started:,.0f}",
        figure.show(),
        shown,
        f"{share:.0%}",
        f">= {FALL:.0%}",
        kept(is_kept=share >= FALL and not deadlocks),
        str(deadlocks),
        f"{connections} ({kinds})",
    ]


def _round(workers: Crew, tasks: int, *, cost: Cost | None = None) -> float:
    workers.empty()
    return workers.drain(tasks, cost=cost)


def _bare(
    server: Server, *, rates: dict[tuple[int, int], float], tasks: int, runs: int, quick: bool
) -> str:
    """Return the table of what as many processes do without an engine."""
    sizes = (1, 5) if quick else BARE_SIZES
    rows = []
    for kind in Kind:
        for names in NAMES:
            alone = 0.0
            for size in sizes:
                figure = _measure_bare(
                    server, kind=kind, processes=size, names=names, tasks=tasks, runs=runs
                )
                alone = alone or figure.median
                of_one = f"{figure.median / alone:.0%}"
                esync_by_it = f"{rates[size, names] / figure.median:.2f}"
                rows.append([kind, str(names), str(size), figure.show(), of_one, esync_by_it])
    columns = ("statements", "names", "processes", "tasks/s", "of one process", "esync by it")
    return table("The same without an engine", columns, rows)


def _measure_bare(
    server: Server, *, kind: Kind, processes: int, names: int, tasks: int, runs: int, **slots: Any
) -> Figure:
    say(f"crowd: {processes} processes, {names} names, {kind}")
    with bare_crew(server, kind=kind, processes=processes, names=names, **slots) as bare:
        bare.drain(tasks)  # as with workers, what is just started is cold
        figure = Figure(tuple(bare.drain(tasks) for _ in range(runs)))
    say(f"  {figure.show()}/s")
    return figure


def _slow(server: Server, *, limit: float, runs: int, quick: bool) -> str:
    """Return the tables of handlers that wait for 10 ms, against arithmetic and the database.

    Beside them, what this machine does of such sleeps without an engine, and without any queue.
    """
    processes = SLOW_PROCESSES // 10 if quick else SLOW_PROCESSES
    tasks = SLOW_TASKS // 10 if quick else SLOW_TASKS
    say(f"crowd: {processes} processes with slow handlers")
    settings = {
        "kind": "sleep",
        "seconds": SLOW_SECONDS,
        "options": {"concurrency": SLOW_SLOTS},
    }
    with server.queue() as dsn, crew(server, dsn, processes=processes, **settings) as workers:
        _round(workers, tasks)
        figure = Figure(tuple(_round(workers, tasks) for _ in range(runs)))
    bare, micros = bare_sleeps(processes=processes, slots=SLOW_SLOTS, seconds=SLOW_SECONDS)
    say(f"  {figure.show()}/s; {bare:,.0f}/s without a queue")
    arithmetic = processes * SLOW_SLOTS / SLOW_SECONDS
    share = figure.median / min(arithmetic, limit)
    columns = (
        "slots",
        "arithmetic/s",
        "best drain/s",
        "such sleeps alone/s",
        "CPU of one, us",
        "tasks/s",
        "share of the less",
        "bound",
    )
    row = [
        f"{processes} processes of {SLOW_SLOTS}, {SLOW_SECONDS * 1000:g} ms",
        f"{arithmetic:,.0f}",
        f"{limit:,.0f}",
        f"{bare:,.0f}",
        f"{micros:.0f}",
        figure.show(),
        f"{share:.0%}",
        f">= {SLOW_SHARE:.0%}",
        kept(is_kept=share >= SLOW_SHARE),
    ]
    bare_rows = []
    for kind in Kind:
        found = _measure_bare(
            server,
            kind=kind,
            processes=processes,
            names=1,
            tasks=tasks,
            runs=runs,
            slots=SLOW_SLOTS,
            seconds=SLOW_SECONDS,
        )
        bare_rows.append([kind, found.show(), f"{figure.median / found.median:.2f}"])
    shown = table("Slow handlers", (*columns, "kept"), [row])
    bare_columns = ("statements", "tasks/s", "esync by it")
    return "\n".join([shown, table("Slow handlers without an engine", bare_columns, bare_rows)])
