"""Gives back what dead workers held, and cancels what no worker knows."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from esync.engine.service import Service
from esync.errors import DriverError, EsyncError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from esync.driver import RunnerDriver
    from esync.engine.presence import Presence
    from esync.engine.reporter import Reporter
    from esync.engine.settings import WorkerSettings

log = logging.getLogger("esync.engine")

_UNKNOWN_SECONDS = 30.0
"""Unknown names are looked for this often, or within their grace if that is shorter."""
_LEAVING_SECONDS = 1.0
"""A worker that leaves with running handlers has so long to end before it is rescued."""


class Rescuer(Service):
    """Every worker rescues, and the statement is such that it does not matter who comes first.

    One of them sweeps: that reads all that runs, in all workers.
    """

    def __init__(
        self,
        driver: RunnerDriver,
        *,
        settings: WorkerSettings,
        presence: Presence,
        reporter: Reporter,
        report: Callable[[EsyncError], None],
        on_outage: Callable[[DriverError], None],
    ) -> None:
        super().__init__("rescuer", on_outage=on_outage)
        self._driver = driver
        self._settings = settings
        self._presence = presence
        self._reporter = reporter
        self._report = report
        self._sweep_at = 0.0
        self._unknown_at = 0.0

    def tick(self) -> None:
        """Wait for the next turn, or for a worker that was lost or leaves, then rescue."""
        self.wait(self._settings.beat_interval)
        is_prodded = self._wake.is_set()
        if is_prodded:
            self._wake.clear()
            self._stopping.wait(min(_LEAVING_SECONDS, self._settings.beat_interval))
        if self.is_stopping or not self._presence.is_steady():
            self.ask_nothing()
            return
        now = time.monotonic()
        # With such a poll the looks, which tell of lost workers, come too seldom.
        is_due = is_prodded or self._settings.poll > self._settings.beat_interval
        has_rescued = self._rescue_if(now, is_due=is_due)
        if not self._cancel_if(now) and not has_rescued:
            self.ask_nothing()

    def _rescue_if(self, now: float, *, is_due: bool) -> bool:
        """Rescue if it is time to; return whether it was."""
        is_sweep = now >= self._sweep_at
        if is_due or is_sweep:
            self._rescue_all(sweep=is_sweep)
        if is_sweep:
            self._sweep_at = now + self._settings.lease
        return is_due or is_sweep

    def _cancel_if(self, now: float) -> bool:
        """Cancel what no worker knows if it is time to; return whether it was."""
        if now < self._unknown_at:
            return False
        # One pass cancels some of a name only: while it finds any, the next comes soon.
        if not self._cancel_unknown():
            self._unknown_at = now + min(self._settings.unhandled_grace, _UNKNOWN_SECONDS)
        return True

    def _rescue_all(self, *, sweep: bool) -> None:
        """Rescue until nothing is found: one rescue gives back so many only."""
        has_found = self._rescue(sweep=sweep, worker_id=self._presence.worker_id)
        while has_found and not self.is_stopping:
            has_found = self._rescue(sweep=True)  # what was left over has no worker any more

    def _rescue(self, *, sweep: bool, worker_id: UUID | None = None) -> bool:
        rescued = self._driver.rescue(
            max_crashes=self._settings.max_crashes, sweep=sweep, worker_id=worker_id
        )
        if any(rescued):
            log.warning(
                "rescue: %d workers lost, %d tasks given back, %d tasks FAILED for good",
                rescued.workers,
                rescued.retried,
                rescued.failed,
            )
        return any(rescued)

    def _cancel_unknown(self) -> bool:
        cancelled = self._driver.cancel_unknown(
            grace=self._settings.unhandled_grace, forget_after=self._settings.forget_after
        )
        for name, count in cancelled.items():
            self._reporter.count_others(name, cancelled=count)
            text = f"task name {name!r}: no worker knows it; {count} tasks cancelled"
            self._report(UnknownNameError(text, name=name, count=count))
        return bool(cancelled)
