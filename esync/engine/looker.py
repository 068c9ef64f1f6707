"""Looks at all names once per poll: what is due, paused, overridden, asked to be cancelled.

A whole look probes everything that is due. If that takes long, some looks are only for what is new.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from esync.engine.cursor import LONGEST_SECONDS
from esync.engine.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from uuid import UUID

    from esync.driver import Look, RunnerDriver
    from esync.engine.lease import Lease
    from esync.engine.presence import Presence
    from esync.engine.runner import Runner
    from esync.errors import DriverError

_SHORTEST_WAIT = 0.005
_NEW_SECONDS = 2.0
"""What became due since the last look, or while a runner fell asleep, has been due for less than
that and the poll; what came with a time long past is for the next whole look."""
_WHOLE_RATIO = 1000
"""If a whole look takes the store long, since it reads what was claimed and not vacuumed yet, the
next comes after so many times as long: by fifty workers they were a tenth of all that it did."""


class Looker(Service):
    """Correctness rests on it: a wake-up may be lost, a look comes every second.

    A whole one comes every five seconds at least, unless the poll is longer.
    """

    def __init__(
        self,
        driver: RunnerDriver,
        *,
        poll: float,
        runners: Mapping[str, Runner],
        presence: Presence,
        prod: Callable[[Runner], None],
        rescue: Callable[[], None],
        on_outage: Callable[[DriverError], None],
    ) -> None:
        """`prod` is told of runners that may have something to pop, or to give back.

        `rescue` is called when a worker was lost.
        """
        super().__init__("looker", on_outage=on_outage)
        self._driver = driver
        self._poll = poll
        self._runners = runners
        self._presence = presence
        self._prod = prod
        self._rescue = rescue
        self._whole_at = 0.0
        self._is_whole_asked = False

    def prod(self) -> None:
        """Have everything looked at now; any thread may call."""
        self._is_whole_asked = True
        super().prod()

    def look_for_new(self) -> None:
        """Have only what has just become due looked for now; any thread may call."""
        super().prod()

    def tick(self) -> None:
        """Look, then wait for the next time."""
        self._wake.clear()
        lease = self._presence.lease
        if lease is None:
            self.ask_nothing()
            self.wait(self._poll)
            return
        is_whole = time.monotonic() >= self._whole_at
        if self._is_whole_asked:
            self._is_whole_asked = False
            is_whole = True
        if is_whole:
            self._whole_at = 0.0  # until one has succeeded
        look = self._look(lease, is_whole=is_whole)
        self._apply(look)
        now = time.monotonic()
        if is_whole:
            rest = min(_WHOLE_RATIO * look.seconds, LONGEST_SECONDS)
            self._whole_at = now + max(self._poll, rest)
        wait = min(self._poll, self._whole_at - now)
        if look.next_due is not None:
            wait = min(wait, max(look.next_due, _SHORTEST_WAIT))
        self.wait(wait)

    def _look(self, lease: Lease, *, is_whole: bool) -> Look:
        return self._driver.look(
            self._runners.keys(),
            worker_id=lease.worker_id,
            busy=[name for name, runner in self._runners.items() if runner.pace.has_backlog],
            due_within=None if is_whole else self._poll + _NEW_SECONDS,
        )

    def _apply(self, look: Look) -> None:
        for name, runner in self._runners.items():
            self._apply_to(runner, look, is_due=name in look.due)
        if look.cancels:
            _cancel(self._runners.values(), look.cancels)
        if look.has_lost_worker:
            self._rescue()

    def _apply_to(self, runner: Runner, look: Look, *, is_due: bool) -> None:
        was_paused, runner.is_paused = runner.is_paused, runner.name in look.paused
        runner.set_interval(look.intervals.get(runner.name))
        runner.cancels = look.cancels
        if is_due or was_paused != runner.is_paused:
            self._prod(runner)


def _cancel(runners: Iterable[Runner], cancels: Mapping[UUID, str]) -> None:
    """Ask the handlers of running attempts to stop."""
    for runner in runners:
        for task in (*runner.running, *runner.stuck):
            reason = cancels.get(task.id)
            if reason is not None:
                task.cancelled.set(f"cancelled by {reason}")
