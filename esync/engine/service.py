"""A service: one loop with a purpose, in a thread of its own."""

from __future__ import annotations

import logging
import random
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from esync.errors import DriverError, DriverUnavailableError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("esync.engine")

FIRST_PAUSE = 0.1
LAST_PAUSE = 5.0
"""Seconds: the pauses after failures grow from the one to the other."""

AWAY = (DriverUnavailableError, SchemaError)
"""Failures that pass: the loop keeps what it has and tries again."""

JOIN_SECONDS = 5.0


def pause(seconds: float) -> None:
    """Wait where nothing can wake: at the end, when the loop is stopping already."""
    threading.Event().wait(seconds)


class Pauses:
    """The pauses between failing tries: they double, each a random part of its bound.

    Full jitter, after Marc Brooker, "Exponential Backoff And Jitter" (AWS, 2015), but at least
    half of the bound, so that it is never a busy loop.
    """

    def __init__(self, longest: float = LAST_PAUSE) -> None:
        self._longest = longest
        self._bound = 0.0

    def next(self) -> float:
        """Return the seconds to wait now."""
        self._bound = min(self._longest, self._bound * 2 or FIRST_PAUSE)
        return self._bound * random.uniform(0.5, 1.0)  # noqa: S311 - no secret depends on it

    def reset(self) -> None:
        """Start again with the shortest."""
        self._bound = 0.0


class Service(ABC):
    """Calls `tick` again and again in a named daemon thread, whatever it raises, until stopped."""

    def __init__(
        self,
        name: str,
        *,
        on_outage: Callable[[DriverError], None],
        longest_pause: float = LAST_PAUSE,
    ) -> None:
        """`on_outage` is told, in the service's thread, when the store goes away."""
        self.name = name
        self._on_outage = on_outage
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._pauses = Pauses(longest_pause)
        self._is_away = False
        self._has_asked = True

    @abstractmethod
    def tick(self) -> None:
        """Do what there is to do, then wait for more with `wait`."""

    def on_return(self) -> None:  # noqa: B027 - most services have nothing to do then
        """Do what must be done once the store is back after an outage."""

    def on_stop(self) -> None:  # noqa: B027 - the same
        """Do the last things, in the service's thread."""

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name=f"esync-{self.name}", daemon=True)
        self._thread.start()

    def prod(self) -> None:
        """Make the loop look at once; any thread may call, at little cost."""
        if not self._wake.is_set():
            self._wake.set()

    def ask_to_stop(self) -> None:
        """Let the loop end after its tick; return at once."""
        self._stopping.set()
        self._wake.set()

    def stop(self, timeout: float = JOIN_SECONDS) -> bool:
        """End the loop; return whether its thread has ended within so many seconds."""
        self.ask_to_stop()
        if self._thread is None or self._thread is threading.current_thread():
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def is_stopping(self) -> bool:
        """Whether the loop is asked to end."""
        return self._stopping.is_set()

    def wait(self, seconds: float | None) -> None:
        """Wait until prodded, stopped, or so many seconds have passed."""
        self._wake.wait(seconds)

    def ask_nothing(self) -> None:
        """Note that this tick has not asked the store: whether it is back stays open."""
        self._has_asked = False

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._guard(self.tick)
        self._guard(self.on_stop)

    def _guard(self, step: Callable[[], None]) -> None:
        self._has_asked = True
        try:
            step()
        except AWAY as exc:
            self._go_away(exc)
        except Exception:
            log.exception("%s: a tick failed; the loop goes on", self.name)
        else:
            if self._has_asked:
                self._come_back()
            return
        # Prods do not shorten this pause: there would be no pause under load.
        self._stopping.wait(self._pauses.next())

    def _go_away(self, exc: DriverError) -> None:
        if self._is_away:
            log.debug("%s: %s", self.name, exc)
            return
        self._is_away = True
        log.warning("%s: %s; trying again", self.name, exc)
        self._on_outage(exc)

    def _come_back(self) -> None:
        self._pauses.reset()
        if self._is_away and not self.is_stopping:  # the last step may have asked nothing
            self._is_away = False
            log.info("%s: the database is back", self.name)
            self.on_return()
