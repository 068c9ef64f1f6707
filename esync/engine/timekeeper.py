"""Notices attempts whose time is over: their timeout, or the lease they run under."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from esync.engine.service import Service
from esync.errors import HandlerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from esync.engine.executor import Executor
    from esync.engine.runner import Runner
    from esync.engine.task import Task
    from esync.errors import EsyncError

log = logging.getLogger("esync.engine")

_SHORTEST_SECONDS = 0.005
_STUCK_SECONDS = 0.05
"""Between two looks while threads are stuck."""
_LONGEST_SECONDS = 0.2
"""Between two looks, when no time is over sooner; no more than the margin at the end of a short
lease. A worker that looked twenty times a second cost more by that than by all else while idle."""


class Timekeeper(Service):
    """Looks at the running attempts when the time of one is over, and a few times a second."""

    def __init__(
        self,
        *,
        runners: Sequence[Runner],
        executor: Executor,
        on_stuck: Callable[[Task], None],
        report: Callable[[EsyncError], None],
    ) -> None:
        super().__init__("timekeeper", on_outage=lambda _: None)
        self._runners = runners
        self._executor = executor
        self._on_stuck = on_stuck
        self._report = report
        self._stalled: set[str] = set()
        # An attempt that starts while nobody looks is seen before its time is over.
        timeouts = [one.settings.timeout / 2 for one in runners if one.settings.timeout]
        self._longest = max(_SHORTEST_SECONDS, min([_LONGEST_SECONDS, *timeouts]))

    def tick(self) -> None:
        """Look at every running attempt, then wait."""
        now = time.monotonic()
        wait = self._longest
        for runner in self._runners:
            if runner.running:
                wait = min(wait, self._look_at(runner, now) - now)
            if runner.stuck or self._stalled:
                self._tell_stalled(runner)
                wait = min(wait, _STUCK_SECONDS)
        self._stopping.wait(max(wait, _SHORTEST_SECONDS))

    def _look_at(self, runner: Runner, now: float) -> float:
        """End what must end now; return when the next deadline is."""
        next_at = math.inf
        for task in list(runner.running):
            if now >= task.held.lease.until:
                task.cancelled.set("lease lost")
            if task.deadline is None or runner.is_async:  # a coroutine is cancelled by its own loop
                continue
            if now < task.deadline:
                next_at = min(next_at, task.deadline)
            elif self._executor.time_out(runner, task):
                log.warning(
                    "task %s: stuck after its timeout of %g s; its slot is replaced",
                    task.id,
                    runner.settings.timeout,
                )
                self._on_stuck(task)
        return next_at

    def _tell_stalled(self, runner: Runner) -> None:
        """Say once that a runner has too many stuck threads, and once that it goes on."""
        count, most = len(runner.stuck), runner.settings.stuck_limit
        if count > most and runner.name not in self._stalled:
            self._stalled.add(runner.name)
            text = f"runner {runner.name}: {count} threads are stuck, more than max_stuck {most}"
            log.error("%s; it stops popping", text)
            self._report(HandlerError(f"{text}; it stops popping"))
        elif count <= most and runner.name in self._stalled:
            self._stalled.remove(runner.name)
            log.info("runner %s: pops again", runner.name)
