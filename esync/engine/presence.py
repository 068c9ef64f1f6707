"""The worker's place among the workers: registered, heard, and registered again when lost."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from esync.driver import WorkerInfo
from esync.engine.lease import Lease, margin
from esync.engine.service import LAST_PAUSE, Service
from esync.errors import DriverError, DriverUnavailableError, WorkerGoneError
from esync.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from esync.driver import RunnerDriver
    from esync.engine.runner import Runner
    from esync.engine.settings import WorkerSettings

log = logging.getLogger("esync.engine")


class Presence(Service):
    """Keeps the lease: beats in a thread of its own, whatever the others wait for."""

    def __init__(
        self,
        driver: RunnerDriver,
        *,
        settings: WorkerSettings,
        runners: Sequence[Runner],
        on_lease: Callable[[], None],
        on_lost: Callable[[Lease], None],
        on_beat: Callable[[], None],
        is_used: Callable[[Lease], bool],
        on_outage: Callable[[DriverError], None],
    ) -> None:
        """Tell about leases, in whatever thread notices.

        `on_lease` is called with every new lease, `on_lost` when one is gone for good, `on_beat`
        when the store has answered; `is_used` tells whether something is still held under one.
        """
        # After an outage every worker must be heard again before another judges it.
        longest_pause = min(LAST_PAUSE, settings.beat_interval)
        super().__init__("presence", on_outage=on_outage, longest_pause=longest_pause)
        self._driver = driver
        self._settings = settings
        self._runners = runners
        self._names = tuple(runner.name for runner in runners)
        self._on_lease = on_lease
        self._on_lost = on_lost
        self._on_beat = on_beat
        self._is_used = is_used
        self._lock = threading.Lock()  # guards the change of _lease and _retired
        self._lease: Lease | None = None
        self._retired: list[Lease] = []
        self._steady_since: float | None = None
        self.worker_id = uuid4()
        """The id of the newest registration; random, so that no restart takes an old one."""

    @property
    def lease(self) -> Lease | None:
        """The lease while it is held."""
        lease = self._lease
        return lease if lease is not None and lease.is_held else None

    def is_steady(self) -> bool:
        """Whether our beats were unbroken for a whole lease, so that we may judge others.

        After an outage nobody has beaten for a while, and everybody would look dead.
        """
        since = self._steady_since
        return since is not None and time.monotonic() - since >= self._settings.lease

    def enter(self) -> None:
        """Register under a new id."""
        worker_id = uuid4()
        started = time.monotonic()
        self._driver.register(self._info(worker_id), [runner.info for runner in self._runners])
        self.worker_id = worker_id
        self._lease = Lease(worker_id, until=self._until(started))
        if self._steady_since is None:
            self._steady_since = started
        log.info("worker %s: registered with %d names", worker_id, len(self._names))
        self._on_lease()

    def lose(self, lease: Lease) -> None:
        """Give up a lease: its claims belong to others. Any thread may call."""
        with self._lock:
            if lease.is_lost:
                return
            lease.lose()
        self._steady_since = None
        log.warning("worker %s: lease lost; coming back under a new id", lease.worker_id)
        self._on_lost(lease)
        self.prod()

    def retire(self, lease: Lease) -> None:
        """Come back under a new id, and keep the old one only for what is held under it.

        The reply to a pop was lost, so that rows may be ours that nobody here knows of. Once the
        known ones have ended, the old id leaves, and the unknown ones are rescued.
        """
        with self._lock:
            if self._lease is not lease or lease.is_lost:
                return
            self._lease = None
            self._retired.append(lease)
        log.warning(
            "worker %s: a pop's reply was lost; coming back under a new id", lease.worker_id
        )
        self.prod()

    def leave(self, *, is_running: bool) -> None:
        """Take the worker out; `is_running` tells that it still holds tasks."""
        for lease in self._retired:
            self._try_to_leave(lease, is_running=True)
        if self._lease is not None:
            self._try_to_leave(self._lease, is_running=is_running)

    def tick(self) -> None:
        """Beat, or register, then wait for the next beat."""
        self._wake.clear()
        for retired in tuple(self._retired):
            self._tend_retired(retired)
        lease = self._lease
        if lease is None or lease.is_lost:
            self.enter()
        elif not self._beat(lease):
            self.lose(lease)
            self.enter()
        self._on_beat()
        self.wait(self._settings.beat_interval)

    def _tend_retired(self, lease: Lease) -> None:
        """Keep an old id alive while something is held under it, then let it leave."""
        if not lease.is_lost and self._is_used(lease):
            if not self._beat(lease):
                self.lose(lease)
            return
        if not lease.is_lost:
            self._driver.leave(lease.worker_id, is_running=True)
        self._retired.remove(lease)

    def _try_to_leave(self, lease: Lease, *, is_running: bool) -> None:
        try:
            self._driver.leave(lease.worker_id, is_running=is_running)
        except DriverError as exc:
            log.warning("worker %s: cannot leave: %s; others will notice", lease.worker_id, exc)

    def _beat(self, lease: Lease) -> bool:
        started = time.monotonic()
        is_late = not lease.is_held
        try:
            is_there = self._driver.beat(lease.worker_id, names=self._names)
        except WorkerGoneError:
            return False
        except DriverUnavailableError:
            self._steady_since = None
            raise
        if is_there:
            lease.renew(until=self._until(started))
            if is_late or self._steady_since is None:
                self._steady_since = started
                self._on_lease()
        return is_there

    def _until(self, started: float) -> float:
        """Return until when to trust a lease whose beat was sent at that time."""
        return started + self._settings.lease - margin(self._settings.lease)

    def _info(self, worker_id: UUID) -> WorkerInfo:
        return WorkerInfo(
            worker_id=worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            slots=sum(runner.settings.concurrency for runner in self._runners),
            lease=self._settings.lease,
            version=__version__,
        )
