"""Notices attempts whose time is over: their timeout, or the lease they run under."""

from __future__ import annotations

import logging
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

_TICK_SECONDS = 0.05
_IDLE_SECONDS = 0.2
"""Between two looks while nothing runs; no more than the margin at the end of a short lease."""


class Timekeeper(Service):
    """Looks at the running attempts 20 times a second, and less often while there are none."""

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
        timeouts = [one.settings.timeout / 2 for one in runners if one.settings.timeout]
        self._idle_seconds = max(_TICK_SECONDS, min([_IDLE_SECONDS, *timeouts]))

    def tick(self) -> None:
        """Look at every running attempt, then wait."""
        now = time.monotonic()
        is_busy = any(runner.running or runner.stuck for runner in self._runners)
        for runner in self._runners:
            if runner.running:
                self._look_at(runner, now)
            if runner.stuck or self._stalled:
                self._tell_stalled(runner)
        self._stopping.wait(_TICK_SECONDS if is_busy else self._idle_seconds)

    def _look_at(self, runner: Runner, now: float) -> None:
        for task in list(runner.running):
            if now >= task.held.lease.until:
                task.cancelled.set("lease lost")
            # A coroutine is cancelled by its own loop.
            is_over = task.deadline is not None and now >= task.deadline and not runner.is_async
            if is_over and self._executor.time_out(runner, task):
                log.warning(
                    "task %s: stuck after its timeout of %g s; its slot is replaced",
                    task.id,
                    runner.settings.timeout,
                )
                self._on_stuck(task)

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
