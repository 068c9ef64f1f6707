"""Wake-ups inside one process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class MemoryListener:
    """A mailbox of wake-ups; equal ones merge until they are read."""

    def __init__(self, *, on_close: Callable[[MemoryListener], None]) -> None:
        self._on_close = on_close
        self._changed = threading.Condition()
        # Guarded by _changed.
        self._payloads: dict[str, None] = {}
        self._is_closed = False

    def wait(self, timeout: float) -> list[str] | None:
        """Return what came within so many seconds, in order; None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._payloads or self._is_closed, timeout)
            if self._is_closed:
                return None
            payloads, self._payloads = list(self._payloads), {}
            return payloads

    def close(self) -> None:
        """Stop waiting; may be called from any thread, more than once."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._on_close(self)

    def put(self, payload: str) -> None:
        """Deliver a wake-up."""
        with self._changed:
            self._payloads[payload] = None
            self._changed.notify_all()
