"""When to try again: the time between the attempts of a task."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from esync.errors import SettingError

INTERVAL_LIMIT = 366 * 86400.0
"""Seconds: a year, so that a slip of units cannot put a task off for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """The delay before attempt n+1: interval * factor ** (n - 1), bounded, then spread.

    The default is the constant interval. Jitter spreads a delay d over d * (1 ± jitter), so that
    tasks that failed together do not come back together.
    """

    interval: float = 60.0
    """Seconds between two attempts."""
    factor: float = 1.0
    """By what each further delay grows; 1 keeps the interval constant."""
    max_interval: float = 86400.0
    """Seconds that no delay exceeds before jitter (the interval itself may)."""
    jitter: float = 0.0
    """0 to 1."""

    def __post_init__(self) -> None:
        _check("interval", self.interval, 0.0, INTERVAL_LIMIT)
        _check("backoff", self.factor, 1.0, 100.0)
        _check("max_interval", self.max_interval, 0.0, INTERVAL_LIMIT)
        _check("jitter", self.jitter, 0.0, 1.0)

    def delay(self, tries: int, *, rng: random.Random | None = None) -> float:
        """Return the seconds to wait after `tries` failures (1 or more); finite for any number."""
        if not self.interval:
            return 0.0
        ceiling = max(self.max_interval, self.interval)
        # 1e4 tries at factor 100 would overflow a float: compare logarithms first.
        growth = (tries - 1) * math.log(self.factor)
        is_at_ceiling = growth > math.log(ceiling) - math.log(self.interval)
        delay = ceiling if is_at_ceiling else self.interval * math.exp(growth)
        if self.jitter:
            delay *= 1 + self.jitter * (rng or random).uniform(-1, 1)
        return delay


def _check(name: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SettingError(f"{name} must be between {low:g} and {high:g}, got {value!r}")
