"""How badly the target of the demo behaves: slow, busy, out of order, and picky."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from dataclasses import dataclass, fields
from enum import Enum, auto

from esync.errors import SettingError

_LIMITS = {"latency": 10.0, "slow": 60.0, "rate": 100_000.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chaos:
    """The settings of the target's behaviour; shares are 0 to 1."""

    latency: float = 0.008
    """Mean seconds that a request takes."""
    slow_share: float = 0.02
    """Requests that take `slow` seconds instead."""
    slow: float = 0.8
    rate: float = 80.0
    """Requests per second above which the answer is 429."""
    busy_share: float = 0.04
    """Requests that are answered 503: half of them before, half after the record was written."""
    refuse_share: float = 0.02
    """Customers that are refused for good (422); which ones is decided by their keys alone."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, limit = getattr(self, field.name), _LIMITS.get(field.name, 1.0)
            if not 0 <= value <= limit:
                raise SettingError(f"{field.name} must be between 0 and {limit:g}, got {value:g}")

    def has_refused(self, key: str) -> bool:
        """Tell whether the customer of this key is refused; the same on every run."""
        digest = hashlib.sha256(key.encode()).digest()
        return int.from_bytes(digest[:4]) < self.refuse_share * 2**32


POLITE = Chaos(latency=0.0, slow_share=0.0, rate=0.0, busy_share=0.0, refuse_share=0.0)
"""Nothing goes wrong; a rate of 0 is no limit."""


class Mood(Enum):
    """What happens to one request."""

    FINE = auto()
    BUSY_BEFORE = auto()
    """503, and nothing was written."""
    BUSY_AFTER = auto()
    """503, though the record was written: the client cannot know."""


class Weather:
    """Decides what happens to each request; every thread may ask."""

    def __init__(self, chaos: Chaos, *, seed: int | None = None) -> None:
        self.chaos = chaos
        self._rng = random.Random(seed)  # noqa: S311 - chaos needs no secrets
        self._lock = threading.Lock()  # guards _tokens, _filled_at and _rng
        self._tokens = chaos.rate
        self._filled_at = time.monotonic()

    def admit(self) -> float:
        """Take a token; return 0, or the seconds after which there will be one."""
        if not self.chaos.rate:
            return 0.0
        now = time.monotonic()
        with self._lock:
            gained = (now - self._filled_at) * self.chaos.rate
            self._tokens = min(self._tokens + gained, max(self.chaos.rate, 1.0))
            self._filled_at = now
            if self._tokens < 1:
                return (1 - self._tokens) / self.chaos.rate
            self._tokens -= 1
        return 0.0

    def draw(self) -> tuple[Mood, float]:
        """Return what happens to the next request, and the seconds it takes."""
        chaos = self.chaos
        with self._lock:
            is_slow = self._rng.random() < chaos.slow_share
            is_busy = self._rng.random() < chaos.busy_share
            is_after = self._rng.random() < 0.5  # noqa: PLR2004 - a coin
            latency = self._rng.uniform(0, 2 * chaos.latency)
        seconds = chaos.slow if is_slow else latency
        if not is_busy:
            return Mood.FINE, seconds
        return (Mood.BUSY_AFTER if is_after else Mood.BUSY_BEFORE), seconds
