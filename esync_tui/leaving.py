"""Leaving with an engine inside: it is asked to finish, and may be told to hurry."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from esync.errors import EsyncError
from esync_tui.messages import EngineFailed, EngineStopped
from esync_tui.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.message import Message

    from esync_tui.engine import Engine

logger = logging.getLogger("esync.console")


class EngineRoom:
    """Starts and stops an engine in threads of its own, since both may block."""

    def __init__(self, engine: Engine, *, grace: float, post: Callable[[Message], object]) -> None:
        self._engine = engine
        self._grace = grace
        self._post = post
        self._starting: threading.Thread | None = None
        self.is_draining = False

    @property
    def running(self) -> int:
        """How many handlers run at this moment."""
        return self._engine.running

    def start(self) -> None:
        """Start the engine; a failure is posted."""
        self._starting = self._spawn("start", self._start)

    def stop(self) -> None:
        """Let running handlers end within the grace period; the end is posted."""
        self.is_draining = True
        self._spawn("stop", lambda: self._stop(self._grace))

    def hurry(self) -> None:
        """Stop now; what still runs then is posted."""
        self._spawn("hurry", lambda: self._stop(0.0))

    def _spawn(self, what: str, target: Callable[[], None]) -> threading.Thread:
        # Daemons: a handler that never ends must not keep the terminal.
        thread = threading.Thread(target=target, name=f"esync-console-{what}", daemon=True)
        thread.start()
        return thread

    def _start(self) -> None:
        try:
            self._engine.start()
        except Exception as exc:  # noqa: BLE001 - _fail tells of it
            self._fail("could not be started", exc)

    def _stop(self, grace: float) -> None:
        if self._starting is not None:
            self._starting.join(timeout=grace)
        try:
            running = self._engine.stop(grace)
        except Exception as exc:  # noqa: BLE001 - _fail tells of it
            self._fail("could not be stopped", exc)
            running = self._engine.running
        self._post(EngineStopped(running))

    def _fail(self, what: str, exc: Exception) -> None:
        """Tell of a failure: what esync itself says of it is a line, and needs no traceback."""
        text = f"{what}: {shown(str(exc))}"
        logger.error("engine: %s", text, exc_info=None if isinstance(exc, EsyncError) else exc)
        self._post(EngineFailed(text))
