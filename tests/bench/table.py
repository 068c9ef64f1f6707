"""The table of `python -m tests.bench`: measured in rounds, so that what is compared is alike."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tests.bench.adding import add_in_bulk, add_singly
from tests.bench.bare import copy, insert, insert_by_pgbench, pop_and_finish, pop_then_finish
from tests.bench.drain import drain
from tests.bench.idle import idle
from tests.bench.latency import latency
from tests.bench.ratio import kept
from tests.bench.report import Figure, say, table
from tests.bench.work import BASES, GOALS, Bare, Work

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.bench.peers import Peer
    from tests.bench.server import Server

    Measured = Iterator[tuple[Work | Bare, float | None]]

_EXACT_BELOW = 1000
"""Figures below are shown with decimals."""


def measure(server: Server, *, runs: int, tasks: int) -> dict[Work | Bare, Figure]:
    """Measure everything so many times; what cannot be measured here is missing."""
    values: dict[Work | Bare, list[float]] = defaultdict(list)
    for number in range(1, runs + 1):
        say(f"round {number} of {runs}")
        for what, value in _round(server, tasks=tasks):
            if value is not None:
                values[what].append(value)
                say(f"  {what}: {_show(value)}")
    return {what: Figure(tuple(found)) for what, found in values.items()}


def show_works(figures: Mapping[Work | Bare, Figure]) -> str:
    """Return the table of the issue."""
    rows = []
    for work in Work:
        if (figure := figures.get(work)) is None:
            continue
        row = [work.value, _show_figure(figure)]
        if (goal := GOALS.get(work)) is None:
            rows.append([*row, "", "", ""])
            continue
        aim = "" if goal.aims_for is None else f"{goal.aims_for:,g}"
        reached = kept(is_kept=goal.is_reached(figure.median))
        rows.append([*row, f"{'<=' if goal.is_ceiling else '>='} {goal.must:,g}", aim, reached])
    return table("esync", ("work", "measured", "must", "aims for", "reached"), rows)


def show_bases(figures: Mapping[Work | Bare, Figure]) -> str:
    """Return the bare statements, and the engine's figures as ratios of them."""
    rows = [
        _compare(work, figures[work], base.value, figures[base])
        for work, base in BASES
        if base in figures
    ]
    columns = ("work", "esync", "without the engine", "per second", "esync by it")
    return table("The same statements without the engine", columns, rows)


def show_peers(figures: Mapping[Work | Bare, Figure], peers: Sequence[Peer]) -> str:
    """Return what others do, and our figures as ratios of theirs."""
    rows = [
        _compare(work, figures[work], peer.title, peer.figures[work])
        for work in Work
        for peer in peers
        if work in peer.figures and work in figures
    ]
    columns = ("work", "esync", "peer", "measured", "esync by peer")
    title = "Peers, each with the settings that suit it best (of ms, % and MB less is better)"
    return table(title, columns, rows)


def _round(server: Server, *, tasks: int) -> Measured:
    """Measure everything once, the engine beside its own statements."""
    one = drain(server, tasks=tasks)
    yield Work.DRAIN, one.per_second
    yield Work.MEMORY, one.peak_mb
    yield Bare.TURNS, pop_then_finish(server, tasks=tasks)
    yield Bare.BOTH, pop_and_finish(server, tasks=tasks)
    yield Work.DRAIN_TWICE, drain(server, tasks=tasks, processes=2).per_second
    yield Work.ADD, add_singly(server)
    yield Bare.INSERT, insert(server)
    yield Bare.PGBENCH, insert_by_pgbench(server)
    yield Work.ADD_MANY, add_in_bulk(server)
    yield Bare.COPY, copy(server)
    yield from _latency(server)
    yield from _idle(server)


def _latency(server: Server) -> Measured:
    millis = latency(server)
    yield Work.LATENCY_P50, millis.p50
    yield Work.LATENCY_P95, millis.p95
    yield Work.LATENCY_P99, millis.p99
    yield Work.LATENCY_MOST, millis.most


def _idle(server: Server) -> Measured:
    alone = idle(server)
    yield Work.IDLE_CPU, alone.cpu_percent
    yield Work.IDLE_SERVER_CPU, alone.server_cpu_percent
    yield Work.IDLE_TRANSACTIONS, alone.transactions
    yield Work.IDLE_CONNECTIONS, alone.connections
    yield Work.IDLE_MEMORY, alone.peak_mb


def _show(value: float) -> str:
    return Figure((value,)).show(_digits(value))


def _show_figure(figure: Figure) -> str:
    return figure.show(_digits(figure.median))


def _digits(value: float) -> int:
    if value >= _EXACT_BELOW or float(value).is_integer():
        return 0
    return 1 if value >= 10 else 2


def _compare(work: Work, ours: Figure, what: str, other: Figure) -> list[str]:
    ratio = f"{ours.median / other.median:.2f}" if other.median else ""
    return [work.value, _show_figure(ours), what, _show_figure(other), ratio]
