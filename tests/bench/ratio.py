"""Figures as ratios of others of the same run, beside the bound that they must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.report import table

if TYPE_CHECKING:
    from tests.bench.report import Figure

COLUMNS = ("what", "base", "measured", "ratio", "bound", "kept")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """One line of such a table."""

    what: str
    base: Figure
    measured: Figure
    least: float

    @property
    def value(self) -> float:
        """Measured by base, both medians."""
        return self.measured.median / self.base.median

    def row(self) -> list[str]:
        """Return the cells of the line."""
        shown = [self.what, self.base.show(), self.measured.show(), f"{self.value:.0%}"]
        return [*shown, f">= {self.least:.0%}", kept(is_kept=self.value >= self.least)]


def ratios(title: str, lines: list[Ratio]) -> str:
    """Return the table."""
    return table(title, COLUMNS, [line.row() for line in lines])


def kept(*, is_kept: bool) -> str:
    """Return a word that is found when looking for what was missed."""
    return "yes" if is_kept else "**no**"
