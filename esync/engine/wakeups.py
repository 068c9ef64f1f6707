"""Listens for wake-ups, so that a task starts at once and not at the next look."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from esync.engine.service import Service
from esync.errors import DriverUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from esync.driver import Listener, RunnerDriver
    from esync.errors import DriverError

log = logging.getLogger("esync.engine")

_WAIT_SECONDS = 5.0


class Wakeups(Service):
    """Hands every payload on; after a lost connection, says that everybody must look."""

    def __init__(
        self,
        driver: RunnerDriver,
        *,
        on_payload: Callable[[str], None],
        on_gap: Callable[[], None],
        on_outage: Callable[[DriverError], None],
    ) -> None:
        """`on_gap` is called whenever wake-ups may have been missed."""
        super().__init__("listener", on_outage=on_outage)
        self._driver = driver
        self._on_payload = on_payload
        self._on_gap = on_gap
        self._listener: Listener | None = None

    def ask_to_stop(self) -> None:
        """Let the loop end: it may be waiting for a wake-up."""
        super().ask_to_stop()
        if (listener := self._listener) is not None:
            listener.close()

    def tick(self) -> None:
        """Wait for wake-ups and hand them on."""
        listener = self._listener or self._listen()
        if listener is None:
            return
        try:
            payloads = listener.wait(_WAIT_SECONDS)
        except DriverUnavailableError:
            self._drop()
            raise
        if payloads is None:
            self._drop()
            return
        for payload in payloads:
            self._on_payload(payload)

    def on_stop(self) -> None:
        """Close the listener."""
        self._drop()

    def _listen(self) -> Listener | None:
        listener = self._driver.listen()
        if listener is None:
            log.info("listener: there are no wake-ups here; polling")
            self._stopping.wait()
            return None
        self._listener = listener
        if self.is_stopping:  # asked to stop while connecting
            return None
        self._on_gap()
        return listener

    def _drop(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
