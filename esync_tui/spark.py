"""Bars of block characters that start at zero, unlike Textual's Sparkline."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def spark(values: Sequence[float], *, width: int, top: float | None = None) -> str:
    """Return the newest values as one line of bars, oldest first, exactly `width` cells wide.

    Zero is a gap; whatever is more than zero is seen. `top` is the value of a full bar, else the
    largest value.
    """
    newest = list(values)[-width:] if width > 0 else []
    highest = max(newest, default=0.0) if top is None else top
    bars = "".join(_bar(value, highest) for value in newest)
    return bars.rjust(width)


def chart(values: Sequence[float], *, width: int, height: int) -> list[str]:
    """Return the newest values as an area of `height` lines, the top line first."""
    newest = list(values)[-width:] if width > 0 else []
    highest = max(newest, default=0.0)
    lines = []
    for level in reversed(range(height)):
        low, step = highest * level / height, highest / height
        lines.append("".join(_bar(value - low, step) for value in newest).rjust(width))
    return lines


def _bar(value: float, highest: float) -> str:
    if value <= 0 or highest <= 0:
        return " "
    return _EIGHTHS[min(8, max(1, round(8 * value / highest)))]
