"""Runs handlers: in threads, or as coroutines on one loop. It knows no database."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Protocol

from esync.engine import outcome as outcomes
from esync.engine.events import EngineEvent, EventKind
from esync.engine.forks import leave_child
from esync.engine.held import Ended
from esync.engine.settings import OnTimeout
from esync.engine.task import Task
from esync.errors import HandlerError
from esync.payload import decode_data
from esync.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Callable

    from esync.engine.coroutines import Coroutines
    from esync.engine.held import Held
    from esync.engine.outcome import Outcome
    from esync.engine.runner import Runner
    from esync.engine.threads import Threads
    from esync.errors import EsyncError

log = logging.getLogger("esync.engine")


class ExecutorOwner(Protocol):
    """Where an executor's results go. Every method is quick and callable from any thread."""

    def ended(self, ended: Ended) -> None:
        """Take an attempt that ended, to record its outcome."""

    def give_back(self, runner: Runner, held: Held) -> None:
        """Take a claim that is not to be started: cancelled, or its lease is over."""

    def thirsty(self, runner: Runner) -> None:
        """Note that a runner can use more tasks."""

    def progress(self, task: Task, message: str) -> None:
        """Take the progress of a running attempt."""

    def report(self, error: EsyncError) -> None:
        """Take an error for the error handler."""

    @property
    def emit(self) -> Callable[[EngineEvent], None] | None:
        """What wants to know of every attempt, if anything does."""


class Executor:
    """Starts slots; a slot performs the claims of its runner until there are none left."""

    def __init__(
        self, owner: ExecutorOwner, *, threads: Threads, coroutines: Coroutines, worker: str
    ) -> None:
        """`worker` is what errors are signed with."""
        self._owner = owner
        self._threads = threads
        self._coroutines = coroutines
        self._worker = worker
        self._emit = owner.emit
        self._pid = os.getpid()

    def start(self, runner: Runner, *, is_late: bool = False) -> None:
        """Start as many slots of a runner as its buffer needs."""
        count = runner.take_slots(is_late=is_late)
        for started in range(count):
            try:
                self._start_slot(runner)
            except RuntimeError:  # no more threads: the slots there are will do the work
                for _ in range(count - started):
                    runner.drop_slot()
                log.exception("runner %s: cannot start a slot", runner.name)
                return

    def time_out(self, runner: Runner, task: Task) -> bool:
        """End an attempt whose time is over; return whether it had not ended just now.

        The thread cannot be stopped, so its slot is replaced at once. With `hold` the outcome is
        recorded when the thread ends, and until then the key is held.
        """
        # The slot looks into `stuck` when it misses its task in `running`, so in this order.
        runner.stuck[task] = True
        if not runner.running.pop(task, False):
            runner.stuck.pop(task, None)
            return False
        timeout = runner.settings.timeout or 0.0
        task.cancelled.set(f"timed out after {timeout:g} s")
        if runner.settings.on_timeout is OnTimeout.RELEASE:
            self._end(runner, task, outcomes.timed_out(timeout))
        runner.drop_slot()
        self.start(runner)
        self._owner.thirsty(runner)
        return True

    def _start_slot(self, runner: Runner) -> None:
        if runner.is_async:
            self._coroutines.run(partial(self._step_async, runner))
        else:
            self._threads.run(partial(self._drain, runner))

    def _drain(self, runner: Runner) -> None:
        """Be a slot: perform claims until none is left or the slot was replaced."""
        is_replaced = False
        try:
            while not is_replaced and (held := self._next(runner)) is not None:
                if (task := self._prepare(runner, held)) is not None:
                    is_replaced = not self._perform(runner, task)
        except BaseException:
            runner.drop_slot()  # a fault of our own; the next pop starts another slot
            raise
        if not is_replaced and runner.is_thirsty:
            self._owner.thirsty(runner)

    async def _step_async(self, runner: Runner) -> bool:
        """Be a slot for one attempt; return whether there may be another.

        That one has a task of its own: no attempt finds the context variables of another, nor is
        cancelled in its place.
        """
        try:
            while (held := self._next(runner)) is not None:
                if (task := self._prepare(runner, held)) is not None:
                    await self._perform_async(runner, task)
                    return True
        except BaseException:
            runner.drop_slot()
            log.exception("runner %s: a slot failed", runner.name)
            return False
        if runner.is_thirsty:
            self._owner.thirsty(runner)
        return False

    def _next(self, runner: Runner) -> Held | None:
        """Return the next claim, or give the slot back."""
        buffer = runner.buffer
        while True:
            try:
                held = buffer.popleft()
            except IndexError:
                if runner.leave_slot():
                    return None
                continue
            if runner.is_thirsty and len(buffer) <= runner.low_water:
                self._owner.thirsty(runner)
            return held

    def _prepare(self, runner: Runner, held: Held) -> Task | None:
        """Return the task to perform; None when it must not be started."""
        claim, lease, _ = held
        started = time.monotonic()
        if started >= lease.until or (runner.cancels and claim.task_id in runner.cancels):
            self._owner.give_back(runner, held)
            return None
        timeout = runner.settings.timeout
        task = Task(
            runner.name,
            held,
            started=started,
            deadline=None if timeout is None else started + timeout,
            report=self._owner.progress,
        )
        try:
            task.data = decode_data(claim.raw_data)
        except ValueError as exc:
            self._end(runner, task, outcomes.Outcome(TaskState.FAILED, str(exc)))
            return None
        runner.running[task] = True
        if self._emit is not None:
            self._emit(EngineEvent.of(EventKind.STARTED, task))
        return task

    def _perform(self, runner: Runner, task: Task) -> bool:
        """Call a handler and see to its outcome; return whether the slot is still ours."""
        try:
            # What one handler sets in its context is not for the next one of this thread.
            result = copy_context().run(runner.call, task)
        except BaseException as exc:  # noqa: BLE001 - SystemExit ends the attempt, not the worker
            leave_child(self._pid, exc)
            outcome = outcomes.judge_error(exc)
        else:
            leave_child(self._pid, None)
            outcome = outcomes.judge_result(result)
        if not runner.running.pop(task, False):
            self._end_stuck(runner, task)
            return False
        self._end(runner, task, outcome)
        return True

    async def _perform_async(self, runner: Runner, task: Task) -> None:
        seconds = runner.settings.timeout
        # A timeout without an end costs as much as a tenth of all else that is done for a task.
        limit = None if seconds is None else asyncio.timeout(seconds)
        try:
            if limit is None:
                result = await runner.call(task)
            else:
                async with limit:
                    result = await runner.call(task)
        except BaseException as exc:  # noqa: BLE001 - as above
            leave_child(self._pid, exc)
            if limit is not None and limit.expired():
                outcome = outcomes.timed_out(runner.settings.timeout or 0.0)
            else:
                outcome = outcomes.judge_error(exc)
        else:
            leave_child(self._pid, None)
            outcome = outcomes.judge_result(result)
        runner.running.pop(task, False)
        self._end(runner, task, outcome)

    def _end_stuck(self, runner: Runner, task: Task) -> None:
        """See to an attempt that was timed out before its thread ended."""
        runner.stuck.pop(task, None)
        if runner.settings.on_timeout is OnTimeout.HOLD:
            self._end(runner, task, outcomes.timed_out(runner.settings.timeout or 0.0))
        else:
            log.warning("task %s: ended after its timeout; result dropped", task.id)
        self._owner.thirsty(runner)

    def _end(self, runner: Runner, task: Task, outcome: Outcome) -> None:
        """Hand an outcome on to be recorded."""
        held = task.held
        seconds = time.monotonic() - task.started
        try:
            finish = outcomes.finish(
                outcome,
                held.claim,
                backoff=runner.backoff,
                max_attempts=runner.settings.max_attempts,
                seconds=seconds,
                worker=self._worker,
            )
        except Exception:  # memory may be short just now: the attempt must end all the same
            log.exception("task %s: its outcome cannot be described", task.id)
            finish = outcomes.plain_finish(held.claim, outcome.state, backoff=runner.backoff)
        self._owner.ended(Ended(runner, held, finish, seconds))
        if finish.state is not TaskState.DONE:
            self._tell_failure(runner, task, outcome, message=finish.message, state=finish.state)
        if self._emit is not None:
            self._emit(EngineEvent.of(EventKind.ENDED, task, finish=finish, seconds=seconds))

    def _tell_failure(
        self, runner: Runner, task: Task, outcome: Outcome, *, message: str, state: TaskState
    ) -> None:
        if state is TaskState.FAILED:
            error = HandlerError(
                f"task {task.id} ({runner.name} {task.key!r}): failed for good: {message}",
                task_id=task.id,
            )
            self._owner.report(error)
        has_own_delay = outcome.after is not None
        if has_own_delay and outcomes.own_delay(outcome.after) is None:
            self._warn_delay(runner, outcome.after)

    def _warn_delay(self, runner: Runner, after: object) -> None:
        if not runner.has_warned_delay:
            runner.has_warned_delay = True
            log.warning(
                "runner %s: a handler asked for a delay of type %s that is none;"
                " the runner's interval is used (said once)",
                runner.name,
                type(after).__name__,
            )
