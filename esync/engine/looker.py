"""Looks at all names once per poll: what is due, paused, overridden, asked to be cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esync.engine.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from uuid import UUID

    from esync.driver import Look, RunnerDriver
    from esync.engine.presence import Presence
    from esync.engine.runner import Runner
    from esync.errors import DriverError

_SHORTEST_WAIT = 0.005


class Looker(Service):
    """Correctness rests on it: a wake-up may be lost, a look comes every second."""

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

    def tick(self) -> None:
        """Look, then wait for the next time."""
        self._wake.clear()
        wait = self._poll
        lease = self._presence.lease
        if lease is not None:
            look = self._driver.look(
                self._runners.keys(),
                worker_id=lease.worker_id,
                busy=[name for name, runner in self._runners.items() if runner.pace.has_backlog],
            )
            self._apply(look)
            if look.next_due is not None:
                wait = min(wait, max(look.next_due, _SHORTEST_WAIT))
        else:
            self.ask_nothing()
        self.wait(wait)

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
