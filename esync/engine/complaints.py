"""What the log says of attempts that failed and are tried again: something, but not each."""

from __future__ import annotations

import logging
import threading
import time

from esync.text import visible_line

log = logging.getLogger("esync.engine")

INTERVAL = 60.0
"""Seconds between two lines about one task name."""

_MESSAGE_LIMIT = 200


class Complaints:
    """Gathers retries per name; any thread may `note`, one thread says them."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._lock = threading.Lock()  # guards _noted
        self._noted: dict[str, tuple[int, str]] = {}
        self._said_at: dict[str, float] = {}

    def note(self, name: str, *, count: int, message: str) -> None:
        """Take a number of attempts that failed, and what the last of them said."""
        with self._lock:
            before, _ = self._noted.get(name, (0, ""))
            self._noted[name] = (before + count, message)

    def say(self, *, is_last: bool = False) -> None:
        """Log what was noted of each name that was not spoken of for a while."""
        now = time.monotonic()
        for name, (count, message) in self._take(now, is_last=is_last).items():
            self._said_at[name] = now
            log.warning(
                "runner %s: %d %s failed and will be tried again, the last: %s",
                visible_line(name),
                count,
                "attempt" if count == 1 else "attempts",
                visible_line(message, limit=_MESSAGE_LIMIT) or "(no message)",
            )

    def _take(self, now: float, *, is_last: bool) -> dict[str, tuple[int, str]]:
        with self._lock:
            names = [
                name
                for name in self._noted
                if is_last or now - self._said_at.get(name, -self._interval) >= self._interval
            ]
            return {name: self._noted.pop(name) for name in names}
