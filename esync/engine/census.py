"""What a worker holds at this moment, counted for people and for stopping."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from esync.engine.events import RunnerState, RunningAttempt
from esync.engine.settings import OnTimeout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from esync.engine.runner import Runner
    from esync.engine.task import Task


def running_attempts(runners: Iterable[Runner]) -> list[RunningAttempt]:
    """Return the attempts that run and hold their key."""
    now = time.monotonic()
    return [
        RunningAttempt(task.name, task.key, task.id, task.attempt, now - task.started, is_stuck)
        for runner in runners
        for tasks, is_stuck in ((runner.running, False), (held_stuck(runner), True))
        for task in list(tasks)
    ]


def held_stuck(runner: Runner) -> Mapping[Task, bool]:
    """Return the stuck attempts that still hold their key."""
    return runner.stuck if runner.settings.on_timeout is OnTimeout.HOLD else {}


def runner_state(runner: Runner) -> RunnerState:
    """Return what the worker holds for one name."""
    return RunnerState(
        name=runner.name,
        slots=runner.settings.concurrency,
        running=len(runner.running),
        stuck=len(runner.stuck),
        buffered=len(runner.buffer),
        in_flight=len(runner.in_flight),
        is_paused=runner.is_paused,
        average_seconds=runner.average,
    )
