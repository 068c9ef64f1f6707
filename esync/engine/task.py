"""What a handler gets: the task, and how to know that it should stop."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from esync.engine.held import Held


class Cancellation:
    """An event-like object: set once a handler should stop, with the reason."""

    __slots__ = ("_event", "reason")

    # Guards every `_event`. One for all, since thousands are made a second and few are waited for.
    _lock = threading.Lock()

    def __init__(self) -> None:
        self._event: threading.Event | None = None
        self.reason: str | None = None
        """Why; None while the handler may go on."""

    def is_set(self) -> bool:
        """Whether the handler should stop."""
        return self.reason is not None

    __bool__ = is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the handler should stop, at most so many seconds; return whether it should."""
        with self._lock:
            if self.reason is not None:
                return True
            event = self._event = self._event or threading.Event()
        return event.wait(timeout)

    def set(self, reason: str) -> None:
        """Ask the handler to stop; the first reason stays."""
        with self._lock:
            if self.reason is None:
                self.reason = reason
            event = self._event
        if event is not None:
            event.set()


class Task:
    """One attempt of one task, as its handler sees it."""

    __slots__ = (
        "_created_at",
        "_report",
        "attempt",
        "cancelled",
        "created_by",
        "data",
        "deadline",
        "held",
        "id",
        "key",
        "name",
        "raw_data",
        "started",
    )

    def __init__(
        self,
        name: str,
        held: Held,
        *,
        started: float,
        deadline: float | None,
        report: Callable[[Task, str], None],
    ) -> None:
        claim = held.claim
        self.id: UUID = claim.task_id
        self.name = name
        self.key = claim.key
        self.attempt = claim.attempt
        """Which attempt this is; it only grows, whatever operators do."""
        self.data: dict[str, Any] = {}
        self.raw_data = claim.raw_data
        """The data as JSON text, as it is stored."""
        self.created_by = claim.created_by
        self.deadline = deadline
        """time.monotonic() at which the handler should have ended; None without a timeout."""
        self.cancelled = Cancellation()
        """Set when the handler should stop: its time is over, an operator asked, the lease was
        lost, or the worker stops."""
        self.started = started
        """time.monotonic() at which the handler was started."""
        self.held = held
        """The claim behind it; the engine's own."""
        self._created_at = claim.created_at
        self._report = report

    @property
    def created_at(self) -> datetime | None:
        """When the request was made; None if that is unknown or beyond what Python can hold."""
        try:
            moment = datetime.fromisoformat(self._created_at or "")
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def remaining(self) -> float | None:
        """Return the seconds until the deadline, at least 0; None without a timeout."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - time.monotonic())

    def progress(self, message: str) -> None:
        """Show a message for this running attempt; the newest is written once a second.

        It returns at once: the message is written by another thread, and dropped if the attempt
        has ended by then.
        """
        self._report(self, message)

    def __repr__(self) -> str:
        return f"<Task {self.id} {self.name!r} {self.key!r} attempt {self.attempt}>"
