"""Errors on their way to the error handler, off the path of everything else."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from esync.engine.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable

    from esync.errors import DriverError, EsyncError

    ErrorHandler = Callable[[EsyncError], None]

log = logging.getLogger("esync.engine")

_PENDING_LIMIT = 1000


def log_error(error: EsyncError) -> None:
    """Log an error: what is done with errors unless somebody sets an error handler."""
    log.error("%s", error)


class ErrorReporter(Service):
    """Calls the error handler in a thread of its own: it may be slow, and it may raise."""

    def __init__(self, handler: ErrorHandler) -> None:
        super().__init__("errors", on_outage=lambda _: None)
        self._handler = handler
        self._pending: deque[EsyncError] = deque(maxlen=_PENDING_LIMIT)

    def report(self, error: EsyncError) -> None:
        """Take an error; when far too many wait, the oldest is lost."""
        self._pending.append(error)
        self.prod()

    def tick(self) -> None:
        """Report what waits."""
        self._wake.clear()
        self._drain()
        if not self.is_stopping:
            self.wait(None)

    def on_stop(self) -> None:
        """Report what is left."""
        self._drain()

    def owns_current(self) -> bool:
        """Whether the calling thread is the one that calls the error handler."""
        return threading.current_thread() is self._thread

    def _drain(self) -> None:
        while self._pending:
            self._call(self._pending.popleft())

    def _call(self, error: EsyncError) -> None:
        try:
            self._handler(error)
        except BaseException:
            log.exception("the error handler raised; the error was: %s", error)


class Outages:
    """Tells of an outage once, however many services notice it."""

    def __init__(self, report: Callable[[DriverError], None]) -> None:
        self._report = report
        self._lock = threading.Lock()  # guards _is_away
        self._is_away = False

    def begin(self, error: DriverError) -> None:
        """Note that the store is away."""
        with self._lock:
            is_first, self._is_away = not self._is_away, True
        if is_first:
            self._report(error)

    def end(self) -> None:
        """Note that the store has answered."""
        with self._lock:
            self._is_away = False
