"""The engine of one worker: its services, put together, started and stopped in order."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from esync.engine.census import held_stuck, runner_state, running_attempts
from esync.engine.coroutines import Coroutines
from esync.engine.errors import ErrorReporter, Outages
from esync.engine.events import EngineEvent, EventKind, RunnerState, RunningAttempt
from esync.engine.executor import Executor
from esync.engine.finisher import Finisher
from esync.engine.looker import Looker
from esync.engine.popper import Popper
from esync.engine.presence import Presence
from esync.engine.reporter import Reporter
from esync.engine.rescuer import Rescuer
from esync.engine.runner import Runner
from esync.engine.schedule import Action, Scheduler
from esync.engine.service import pause
from esync.engine.threads import Threads
from esync.engine.timekeeper import Timekeeper
from esync.engine.wakeups import Wakeups
from esync.errors import DriverUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from esync.driver import RunnerDriver
    from esync.engine.errors import ErrorHandler
    from esync.engine.held import Ended, Held
    from esync.engine.lease import Lease
    from esync.engine.service import Service
    from esync.engine.settings import HandlerSettings, WorkerSettings
    from esync.engine.task import Task
    from esync.errors import DriverError, EsyncError

log = logging.getLogger("esync.engine")

EVERYBODY = "*"
"""The payload of a wake-up that concerns all names."""

_FLUSH_SECONDS = 5.0
"""So long the last outcomes may take to be recorded."""
_DRAIN_LOOK_SECONDS = 0.01
_LAST_PART_OF_GRACE = 0.1
"""In this last part of the grace period the handlers are asked to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A handler and its settings, under a name."""

    name: str
    handler: object
    settings: HandlerSettings


class Engine:
    """Runs from `start` to `stop`, once; SyncManager makes a new one for another run."""

    def __init__(
        self,
        driver: RunnerDriver,
        *,
        settings: WorkerSettings,
        registrations: Sequence[Registration],
        actions: Sequence[Action],
        on_error: ErrorHandler,
        on_event: Callable[[EngineEvent], None] | None,
    ) -> None:
        self._settings = settings
        self._on_event = on_event
        self._runners = {
            one.name: Runner(one.name, one.handler, one.settings) for one in registrations
        }
        self._threads = Threads()
        self._coroutines = Coroutines()
        self._is_closed = False
        self._stop_lock = threading.Lock()  # guards _deadline and _is_stop_claimed
        self._deadline: float | None = None
        self._is_stop_claimed = False
        self._has_started = threading.Event()
        self._build(driver, actions=actions, on_error=on_error)

    def _build(
        self, driver: RunnerDriver, *, actions: Sequence[Action], on_error: ErrorHandler
    ) -> None:
        settings, runners = self._settings, list(self._runners.values())
        self._errors = ErrorReporter(on_error)
        self._outages = Outages(self._tell_outage)
        away = self._outages.begin
        self._presence = Presence(
            driver,
            settings=settings,
            runners=runners,
            on_lease=self._take_lease,
            on_lost=self._lose_lease,
            on_beat=self._outages.end,
            is_used=self._is_used,
            on_outage=away,
        )
        presence = self._presence
        self._reporter = Reporter(driver, worker_id=lambda: presence.worker_id, on_outage=away)
        self._executor = Executor(
            self,
            threads=self._threads,
            coroutines=self._coroutines,
            worker=f"{socket.gethostname()}:{os.getpid()}",
        )
        self._finisher = Finisher(
            driver,
            reporter=self._reporter,
            report=self.report,
            prod=self._prod,
            on_outage=away,
        )
        self._popper = Popper(
            driver,
            poll=settings.poll,
            runners=runners,
            executor=self._executor,
            presence=presence,
            reporter=self._reporter,
            look=self._look_for_new,
            on_outage=away,
        )
        self._looker = Looker(
            driver,
            poll=settings.poll,
            runners=self._runners,
            presence=presence,
            prod=self._prod,
            rescue=self._rescue,
            on_outage=away,
        )
        self._rescuer = Rescuer(
            driver,
            settings=settings,
            presence=presence,
            reporter=self._reporter,
            report=self.report,
            on_outage=away,
        )
        self._scheduler = Scheduler(
            driver,
            actions=actions,
            presence=presence,
            threads=self._threads,
            coroutines=self._coroutines,
            report=self.report,
            on_outage=away,
        )
        self._timekeeper = Timekeeper(
            runners=runners,
            executor=self._executor,
            on_stuck=self._tell_stuck,
            report=self.report,
        )
        self._wakeups = Wakeups(
            driver, on_payload=self._wake, on_gap=self._look_at_all, on_outage=away
        )

    # What the executor wants of its owner.

    def ended(self, ended: Ended) -> None:
        """Record an outcome."""
        if self._is_closed:
            log.warning("task %s: ended after the worker; outcome dropped", ended.finish.task_id)
            return
        self._finisher.put(ended)

    def give_back(self, runner: Runner, held: Held) -> None:
        """Release a claim that is not to be started."""
        self._popper.give_back(runner, held)

    def thirsty(self, runner: Runner) -> None:
        """Let the popper see to a runner that has room."""
        runner.is_thirsty = False
        self._popper.prod()

    def progress(self, task: Task, message: str) -> None:
        """Show the progress of a running attempt."""
        self._reporter.progress(task, message)

    def report(self, error: EsyncError) -> None:
        """Hand an error to the error handler."""
        self._errors.report(error)

    @property
    def emit(self) -> Callable[[EngineEvent], None] | None:
        """What hands events to the listener; None without one."""
        return self._emit if self._on_event is not None else None

    # Life.

    def start(self) -> None:
        """Register and begin; with the database away, begin once it is there.

        Raises SchemaError, or DriverError, when trying again would not help.
        """
        try:
            self._enter()
            self._errors.start()
            for service in self._services():
                service.start()
        finally:
            self._has_started.set()

    def shorten(self, grace: float) -> None:
        """Let the grace period end within so many seconds from now, if it would last longer."""
        with self._stop_lock:
            deadline = time.monotonic() + grace
            if self._deadline is None or deadline < self._deadline:
                self._deadline = deadline

    def claim_stop(self) -> bool:
        """Return whether the caller is the one who is to call `stop`."""
        with self._stop_lock:
            is_first, self._is_stop_claimed = not self._is_stop_claimed, True
            return is_first

    def stop(self, grace: float) -> tuple[RunningAttempt, ...]:
        """Drain and leave; return what still runs at the end of the grace period.

        1. Nothing is popped any more, and what was not started is released.
        2. What runs may end within the grace period; its outcome is recorded.
        3. The worker leaves. What still runs is not given back here: others rescue it within a
           second, and by then this process should have ended. Threads of asyncio.to_thread whose
           attempts have timed out are told of as well: they would keep the process.
        """
        self._has_started.wait()  # whoever stops a worker that just starts finds it whole
        began = time.monotonic()
        self.shorten(grace)
        self._rescuer.ask_to_stop()
        self._scheduler.close()
        has_popped_last = self._popper.stop(timeout=min(_FLUSH_SECONDS, grace + 1))
        for runner in self._runners.values():
            runner.take_unstarted()  # only if the popper hangs: they are left to be rescued
        self._drain(began)
        self._scheduler.stop()
        is_recorded = self._finisher.flush(_FLUSH_SECONDS)
        self._is_closed = True
        left = self.running()
        in_flight = any(runner.in_flight for runner in self._runners.values())
        self._close(is_holding=bool(left) or in_flight or not (is_recorded and has_popped_last))
        threads = self._coroutines.threads_left() if not left else ()
        return (*left, *(RunningAttempt("asyncio", name, None, 0, 0.0, True) for name in threads))

    def running(self) -> tuple[RunningAttempt, ...]:
        """Return the handlers and scheduled actions that run and hold something."""
        return (*running_attempts(self._runners.values()), *self._scheduler.running())

    def running_count(self) -> int:
        """Return how many handlers run; quick."""
        return sum(len(one.running) + len(one.stuck) for one in self._runners.values())

    def state(self) -> tuple[RunnerState, ...]:
        """Return what the worker holds for each name."""
        return tuple(runner_state(runner) for runner in self._runners.values())

    @property
    def worker_id(self) -> UUID:
        """The id under which the worker is registered now."""
        return self._presence.worker_id

    def owns_current(self) -> bool:
        """Whether the calling thread runs a handler, an action or the error handler."""
        owners = (self._threads, self._coroutines, self._errors)
        return any(owner.owns_current() for owner in owners)

    def _services(self) -> tuple[Service, ...]:
        return (
            self._presence,
            self._finisher,
            self._reporter,
            self._timekeeper,
            self._popper,
            self._looker,
            self._wakeups,
            self._rescuer,
            self._scheduler,
        )

    def _enter(self) -> None:
        try:
            self._presence.enter()
        except DriverUnavailableError as exc:
            log.warning("worker: %s; trying again", exc)
            self._outages.begin(exc)

    def _drain(self, began: float) -> None:
        """Wait until nothing runs or the grace period is over, whichever it has become."""
        while self._is_working():
            now, deadline = time.monotonic(), self._deadline or 0.0
            if deadline - now <= (deadline - began) * _LAST_PART_OF_GRACE:
                self._ask_handlers_to_stop()
            if now >= deadline:
                return
            pause(_DRAIN_LOOK_SECONDS)

    def _is_working(self) -> bool:
        has_slots = any(one.active or held_stuck(one) for one in self._runners.values())
        return has_slots or bool(self._scheduler.running())

    def _ask_handlers_to_stop(self) -> None:
        for runner in self._runners.values():
            for task in (*runner.running, *runner.stuck):
                task.cancelled.set("the worker stops")

    def _close(self, *, is_holding: bool) -> None:
        services = self._services()
        for service in services:
            service.ask_to_stop()
        for service in services:
            if not service.stop():
                log.warning("%s: does not end; it is left behind", service.name)
        self._presence.leave(is_running=is_holding)
        self._threads.close(1.0)
        self._coroutines.close(1.0)
        self._errors.stop(1.0)

    # What the services tell.

    def _prod(self, runner: Runner) -> None:
        runner.pace.is_prodded = True
        self._popper.prod()

    def _wake(self, payload: str) -> None:
        if payload == EVERYBODY:
            self._look_at_all()
            self._rescue()
            return
        runner = self._runners.get(payload)
        if runner is None:
            return
        if runner.is_paused:  # perhaps it is not any more
            self._look()
        self._prod(runner)

    def _look(self) -> None:
        self._looker.prod()

    def _look_for_new(self) -> None:
        self._looker.look_for_new()

    def _rescue(self) -> None:
        self._rescuer.prod()

    def _look_at_all(self) -> None:
        self._look()
        self._scheduler.look_again()

    def _take_lease(self) -> None:
        self._popper.prod()
        self._look_at_all()

    def _is_used(self, lease: Lease) -> bool:
        """Whether claims or scheduled actions are held under a lease."""
        return self._scheduler.is_running_under(lease.worker_id) or any(
            held.lease is lease
            for runner in self._runners.values()
            for held in list(runner.in_flight.values())
        )

    def _lose_lease(self, lease: Lease) -> None:
        for runner in self._runners.values():
            for task in (*runner.running, *runner.stuck):
                if task.held.lease is lease:
                    task.cancelled.set("lease lost")
            runner.disown(lease)
        self._popper.prod()
        self._tell(EngineEvent(kind=EventKind.LEASE_LOST, message=str(lease.worker_id)))

    def _tell_stuck(self, task: Task) -> None:
        self._tell(EngineEvent.of(EventKind.STUCK, task))

    def _tell_outage(self, error: DriverError) -> None:
        self.report(error)
        self._tell(EngineEvent(kind=EventKind.OUTAGE, message=str(error)))

    def _tell(self, event: EngineEvent) -> None:
        if self._on_event is not None:
            self._emit(event)

    def _emit(self, event: EngineEvent) -> None:
        try:
            if self._on_event is not None:
                self._on_event(event)
        except Exception:
            log.exception("the event listener raised")
