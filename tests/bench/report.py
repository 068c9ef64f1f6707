"""Medians with their spread, and the tables that are printed."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from esync import version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.bench.server import Server


@dataclass(frozen=True, slots=True)
class Figure:
    """What several runs of one measurement gave."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def show(self, digits: int = 0) -> str:
        """Return the median and the spread: `25,310 [24,100-26,020]`."""
        low, high = min(self.values), max(self.values)
        text = f"{self.median:,.{digits}f}"
        return text if len(self.values) == 1 else f"{text} [{low:,.{digits}f}-{high:,.{digits}f}]"


def repeat(measure: Callable[[], float], *, runs: int) -> Figure:
    """Measure several times."""
    return Figure(tuple(measure() for _ in range(runs)))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that so many percent of them do not exceed (nearest rank)."""
    ranked = sorted(values)
    rank = max(1, round(percent / 100 * len(ranked)))
    return ranked[rank - 1]


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table under a heading."""
    lines = [f"### {title}", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, ""])


def machine(server: Server) -> str:
    """Return what the figures depend on, in a few lines."""
    load = os.getloadavg()[0]
    client = f"psycopg {psycopg.__version__} ({psycopg.pq.__impl__})"
    return "\n".join(
        [
            f"esync {version.__version__}, {client}, Python {platform.python_version()}",
            f"{server.describe()}",
            f"{os.cpu_count()} cores of {_processor()}, shared with the server; load {load:.1f}",
        ]
    )


def say(text: str) -> None:
    """Tell on stderr what happens, so that stdout holds tables only."""
    sys.stderr.write(f"{text}\n")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "an unknown processor"
