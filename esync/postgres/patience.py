"""What took too long is left alone for a while, perhaps for longer each time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

FIRST_SECONDS = 60.0
"""For how long something is left alone after it took too long once."""

MOST_SECONDS = 960.0
"""The wait may double up to this, where something else is nearly as good meanwhile."""


class _Rest(NamedTuple):
    until: float
    seconds: float


class Patience:
    """Remembers what took too long; used under the lock of the lane that reads.

    What was fast again is forgotten, and what was not tried for long, too.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rests: dict[Hashable, _Rest] = {}

    def lasts_for(self, what: Hashable) -> bool:
        """Return whether to try something: it was fast, or has been left alone for long enough."""
        rest = self._rests.get(what)
        return rest is None or self._clock() >= rest.until

    def learn(self, what: Hashable, *, was_slow: bool, longest: float = FIRST_SECONDS) -> None:
        """Leave something alone if it took too long, doubling the wait up to `longest` seconds."""
        now = self._clock()
        rest = self._rests.pop(what, None)
        kept = {of: other for of, other in self._rests.items() if now < other.until + MOST_SECONDS}
        if was_slow:
            seconds = FIRST_SECONDS if rest is None else min(2 * rest.seconds, longest)
            kept[what] = _Rest(now + seconds, seconds)
        self._rests = kept
