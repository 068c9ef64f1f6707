"""SyncManager: handlers and scheduled actions, registered by name and run by a worker."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from esync.backoff import Backoff
from esync.engine.engine import Engine, Registration
from esync.engine.errors import log_error
from esync.engine.runner import find_call
from esync.engine.schedule import Action
from esync.engine.settings import (
    HandlerSettings,
    WorkerSettings,
    to_on_timeout,
    to_seconds,
)
from esync.errors import EsyncError, SettingError
from esync.task import check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta
    from types import FrameType
    from typing import Self

    from esync.driver import RunnerDriver
    from esync.engine.events import EngineEvent, RunnerState, RunningAttempt

log = logging.getLogger("esync.engine")

_H = TypeVar("_H")

_LOOK_SECONDS = 1.0
"""So often the main thread looks whether it is to stop, if the signal went to another thread and
did not wake it. Linux prefers the main thread."""


class SyncManager:
    """Runs the handlers registered with it, for the tasks of a queue.

    Register first, then `run` (which blocks) or `start` and `stop`. Errors go to the error
    handler; `stop` may be called from any thread, also from a handler.
    """

    def __init__(
        self,
        driver: RunnerDriver,
        *,
        lease: float = 30.0,
        heartbeat: float | None = None,
        poll: float = 1.0,
        grace: float = 30.0,
        max_crashes: int = 3,
        unhandled_grace: float = 30.0,
        forget_after: float = 7 * 86400.0,
        on_event: Callable[[EngineEvent], None] | None = None,
    ) -> None:
        """Make a worker of a driver; all times are seconds, see WorkerSettings.

        `on_event` is called from many threads for every attempt that begins or ends; it must do
        little and never block.
        """
        self._driver = driver
        self._settings = WorkerSettings(
            lease=lease,
            heartbeat=heartbeat,
            poll=poll,
            grace=grace,
            max_crashes=max_crashes,
            unhandled_grace=unhandled_grace,
            forget_after=forget_after,
        )
        self._on_event = on_event
        self._on_error: Callable[[EsyncError], None] = log_error
        self._registrations: dict[str, Registration] = {}
        self._actions: dict[str, Action] = {}
        self._lock = threading.Lock()  # guards _engine, _stopping and _left
        self._engine: Engine | None = None
        self._stopping: threading.Event | None = None
        self._left: tuple[RunningAttempt, ...] = ()
        self._signals: _Signals | None = None
        """Of the thread in `run`, to be woken when the worker has stopped."""

    @property
    def driver(self) -> RunnerDriver:
        """The driver that the manager was given."""
        return self._driver

    @property
    def settings(self) -> WorkerSettings:
        """The settings of the worker."""
        return self._settings

    @property
    def names(self) -> tuple[str, ...]:
        """The task names that have a handler."""
        return tuple(self._registrations)

    @property
    def running(self) -> int:
        """How many handlers run at this moment."""
        engine = self._engine
        return engine.running_count() if engine is not None else 0

    def configure(
        self,
        *,
        lease: float | None = None,
        heartbeat: float | None = None,
        poll: float | None = None,
        grace: float | None = None,
    ) -> None:
        """Change settings of the worker before it starts; None leaves one as it is."""
        self._check_idle("configure")
        given = {"lease": lease, "heartbeat": heartbeat, "poll": poll, "grace": grace}
        changes: dict[str, Any] = {
            name: value for name, value in given.items() if value is not None
        }
        self._settings = replace(self._settings, **changes)

    def set_error_handler(self, handler: Callable[[EsyncError], None]) -> None:
        """Call `handler` with every error that concerns people; by default they are logged.

        It is called from one thread, one error after the other. HandlerError: a task failed for
        good, or a scheduled action raised. LeaseLostError, OutcomeUnknownError: an outcome was
        dropped, or may have been. UnknownNameError: tasks were cancelled. DriverUnavailableError:
        once for each outage.
        """
        self._check_idle("set_error_handler")
        if not callable(handler):
            raise SettingError(f"error handler must be callable, got {type(handler).__name__}")
        self._on_error = handler

    def on_event(self, listener: Callable[[EngineEvent], None]) -> None:
        """Call `listener` for every attempt that begins or ends; it must do little."""
        self._check_idle("on_event")
        self._on_event = listener

    def register_task_handler(
        self,
        handler: object,
        name: str,
        *,
        interval: timedelta | float = 60.0,
        timeout: timedelta | float | None = None,
        concurrency: int = 4,
        limit: int | None = None,
        stream: str | None = None,
        max_attempts: int | None = None,
        backoff: float = 1.0,
        max_interval: timedelta | float = 86400.0,
        jitter: float = 0.0,
        on_timeout: str = "hold",
        max_stuck: int | None = None,
    ) -> None:
        """Perform the tasks of a name with an object that has do(task), or with a function.

        `do` or the function may be `async def`. `interval` is the time between two attempts of a
        task, `backoff` the factor by which it grows up to `max_interval`, `jitter` how far it is
        spread (0 to 1); `max_attempts` failures make a task FAILED. `concurrency` handlers run at
        once in this worker, `limit` in the whole cluster; runners of one `stream` never run at
        the same time. `timeout` cancels an async handler; a thread cannot be stopped: its slot is
        replaced, and its key is held until it ends (`on_timeout="hold"`) or let go ("release").
        With more than `max_stuck` such threads the runner stops popping.
        """
        self._check_idle("register_task_handler")
        check_name(name)
        if name in self._registrations:
            raise SettingError(f"name must be registered once, got {name!r} again")
        find_call(handler, "handler", arguments=1)
        settings = HandlerSettings(
            backoff=Backoff(
                interval=to_seconds("interval", interval),
                factor=backoff,
                max_interval=to_seconds("max_interval", max_interval),
                jitter=jitter,
            ),
            timeout=None if timeout is None else to_seconds("timeout", timeout),
            concurrency=concurrency,
            limit=limit,
            stream=None if stream is None else check_name(stream, what="stream"),
            max_attempts=max_attempts,
            on_timeout=to_on_timeout(on_timeout),
            max_stuck=max_stuck,
        )
        self._registrations[name] = Registration(name=name, handler=handler, settings=settings)

    def handler(self, name: str, **settings: Any) -> Callable[[_H], _H]:
        """Register the function below under a name, with register_task_handler's settings."""

        def register(function: _H) -> _H:
            self.register_task_handler(function, name, **settings)
            return function

        return register

    def schedule(
        self,
        action: object,
        interval: timedelta | float,
        *,
        name: str | None = None,
        stream: str | None = None,
    ) -> None:
        """Run an object that has do(), or a function, every `interval`, once in the cluster.

        The first run is one interval after a worker first knew the action. Runs that were missed
        merge into one. Raising is reported, and the action goes on. The name, by default that of
        the class or function, is how workers recognise the action; `stream` may also be an
        attribute or method of the object.
        """
        self._check_idle("schedule")
        scheduled = Action(action, interval, name=name, stream=stream)
        if scheduled.name in self._actions:
            raise SettingError(f"name must be scheduled once, got {scheduled.name!r} again")
        self._actions[scheduled.name] = scheduled

    def snapshot(self) -> tuple[RunnerState, ...]:
        """Return what this worker holds for each name; empty when it does not run."""
        engine = self._engine
        return engine.state() if engine is not None else ()

    def run(self) -> tuple[RunningAttempt, ...]:
        """Run until stopped; return what still ran at the end of the grace period.

        In the main thread, SIGTERM and SIGINT stop the worker: the first lets running handlers
        end within the grace period, the second does not wait for them. If anything is returned,
        the process should end at once (os._exit): other workers take those tasks over.
        """
        with _Signals() as signals:
            self.start()
            engine, stopped = self._engine, self._stopping
            if engine is None or stopped is None:  # stopped already, by another thread
                return self._left
            self._signals = signals  # before `stopped` is looked at, so that its wake is not missed
            while not stopped.is_set() and not signals.count:
                signals.wait()
            if signals.count and not stopped.is_set():
                log.info("worker: stopping; a second signal skips the grace period")
                threading.Thread(target=self.stop, name="esync-stop", daemon=True).start()
            while not stopped.is_set():
                if signals.count > 1:
                    engine.shorten(0.0)
                signals.wait()
        return self._left

    def start(self) -> None:
        """Begin to run tasks in threads of their own; may block while registering.

        Raises SchemaError when the schema does not fit. A database that is away is waited for.
        """
        engine = Engine(
            self._driver,
            settings=self._settings,
            registrations=tuple(self._registrations.values()),
            actions=tuple(self._actions.values()),
            on_error=self._on_error,
            on_event=self._on_event,
        )
        with self._lock:
            if self._engine is not None:
                raise SettingError("start must be called once until stop, got a second call")
            self._engine, self._stopping, self._left = engine, threading.Event(), ()
        try:
            engine.start()
        except BaseException:
            self._forget(engine, ())
            raise

    def stop(self, grace: float | None = None) -> tuple[RunningAttempt, ...]:
        """Drain and leave; return what still runs at the end of the grace period, if anything.

        Any thread may call it, again and before `start` too; a further call waits for the first
        and may shorten its grace period. Called from a handler, which it cannot wait for, it
        only asks to stop and returns ().
        """
        seconds = self._settings.grace if grace is None else grace
        with self._lock:
            engine, stopped = self._engine, self._stopping
            if engine is None or stopped is None:
                return ()
        if engine.owns_current():
            threading.Thread(
                target=self._stop, args=(engine, stopped, seconds), name="esync-stop", daemon=True
            ).start()
            return ()
        return self._stop(engine, stopped, seconds)

    def _stop(
        self, engine: Engine, stopped: threading.Event, grace: float
    ) -> tuple[RunningAttempt, ...]:
        engine.shorten(grace)
        if not engine.claim_stop():
            stopped.wait()
            return self._left
        left: tuple[RunningAttempt, ...] = ()
        try:
            left = engine.stop(grace)
        finally:
            self._forget(engine, left)
        return left

    def _forget(self, engine: Engine, left: tuple[RunningAttempt, ...]) -> None:
        with self._lock:
            if self._engine is not engine:  # forgotten already, and perhaps another one runs
                return
            stopped, self._stopping = self._stopping, None
            self._engine, self._left = None, left
        if stopped is not None:
            stopped.set()
        if self._signals is not None:
            self._signals.wake()

    def _check_idle(self, what: str) -> None:
        if self._engine is not None:
            raise SettingError(f"{what} must be called before the worker starts, got it running")


class _Signals:
    """Counts SIGTERM and SIGINT while it is entered, in the main thread only."""

    def __init__(self) -> None:
        self.count = 0
        self._news: SimpleQueue[None] = SimpleQueue()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _stop_signals():
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def wait(self) -> None:
        """Wait for a signal, for `wake`, or for a second."""
        with suppress(Empty):
            self._news.get(timeout=_LOOK_SECONDS)

    def wake(self) -> None:
        """Let `wait` return; any thread may call."""
        self._news.put(None)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        # Nothing but this: the main thread may hold any lock just now, that of an Event included.
        # A SimpleQueue is made for it.
        del number
        self.count += 1
        self._news.put(None)


def _stop_signals() -> Iterator[signal.Signals]:
    yield signal.SIGTERM
    yield signal.SIGINT
    # A closed terminal stops the worker in the same way, unless nohup asked to ignore it.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        yield signal.SIGHUP
