"""Scheduled actions: code run at an interval, once in the whole cluster."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from esync.engine import outcome as outcomes
from esync.engine.events import RunningAttempt
from esync.engine.forks import leave_child
from esync.engine.runner import find_call
from esync.engine.service import AWAY, Service
from esync.engine.settings import check_interval
from esync.errors import (
    DriverError,
    DriverUnavailableError,
    EsyncError,
    HandlerError,
    WorkerGoneError,
)
from esync.task import check_name
from esync.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta
    from uuid import UUID

    from esync.driver import RunnerDriver
    from esync.engine.coroutines import Coroutines
    from esync.engine.presence import Presence
    from esync.engine.threads import Threads

log = logging.getLogger("esync.engine")

_ASK_AGAIN_LIMIT = 30.0
"""Seconds after which an action is asked for again at the latest."""
_REFUSED_WAIT = 5.0


class Action:
    """A scheduled action; the scheduler's thread alone changes its state."""

    def __init__(
        self,
        action: object,
        interval: timedelta | float,
        *,
        name: str | None,
        stream: str | None,
    ) -> None:
        self.call, self.is_async = find_call(action, "action", arguments=0)
        self.interval = check_interval("interval", interval)
        self.name = check_name(name if name is not None else _name_of(action), what="action name")
        stream = stream if stream is not None else _stream_of(action)
        self.stream = None if stream is None else check_name(stream, what="stream")
        self.ask_at = 0.0
        """time.monotonic() at which to ask whether it is to run."""
        self.started: float | None = None
        """time.monotonic(); None while it does not run here."""
        self.worker_id: UUID | None = None
        """Whose run it is, while it runs here."""


class _End(NamedTuple):
    action: Action
    worker_id: UUID
    error: str | None


class Scheduler(Service):
    """Asks the store whose turn it is; a run is a job of its own, so that none stops another."""

    def __init__(
        self,
        driver: RunnerDriver,
        *,
        actions: Sequence[Action],
        presence: Presence,
        threads: Threads,
        coroutines: Coroutines,
        report: Callable[[EsyncError], None],
        on_outage: Callable[[DriverError], None],
    ) -> None:
        super().__init__("scheduler", on_outage=on_outage)
        self._driver = driver
        self._actions = actions
        self._presence = presence
        self._threads = threads
        self._coroutines = coroutines
        self._report = report
        self._ends: deque[_End] = deque()
        self._is_closed = threading.Event()
        self._pid = os.getpid()

    def close(self) -> None:
        """Begin no further runs."""
        self._is_closed.set()

    def look_again(self) -> None:
        """Ask for every action at once: time may have been moved, or an action was asked for."""
        for action in self._actions:
            action.ask_at = 0.0
        self.prod()

    def running(self) -> list[RunningAttempt]:
        """Return the actions that run here."""
        now = time.monotonic()
        return [
            RunningAttempt(action.name, "", None, 0, now - started, is_stuck=False)
            for action in self._actions
            if (started := action.started) is not None
        ]

    def is_running_under(self, worker_id: UUID) -> bool:
        """Whether an action runs here that was begun under this id."""
        return any(one.started is not None and one.worker_id == worker_id for one in self._actions)

    def tick(self) -> None:
        """Record what has ended, begin what is due, then wait for the next."""
        self._wake.clear()
        self._record_ends()
        now = time.monotonic()
        waiting = [action for action in self._actions if action.started is None]
        if self._is_closed.is_set():
            waiting = []
        for action in waiting:
            if action.ask_at <= now:
                self._ask(action)
        self.wait(min((action.ask_at - now for action in waiting), default=_ASK_AGAIN_LIMIT))

    def on_stop(self) -> None:
        """Record what has ended."""
        self._record_ends()

    def _ask(self, action: Action) -> None:
        """Ask whether to run an action now, and run it."""
        now = time.monotonic()
        lease = self._presence.lease
        if lease is None:
            self.ask_nothing()
            action.ask_at = now + 0.1
            return
        try:
            wait = self._driver.begin_action(
                action.name,
                worker_id=lease.worker_id,
                interval=action.interval,
                stream=action.stream,
            )
        except WorkerGoneError:
            self._presence.lose(lease)
            return
        except DriverUnavailableError as exc:
            if exc.is_ambiguous:  # it may be held in our name: let it go, and ask again
                self._end_unbegun(action, lease.worker_id)
            raise
        except AWAY:
            raise
        except DriverError:
            # The other actions must not suffer from one that is refused.
            log.exception("scheduled action %s: refused; asking again", action.name)
            wait = _REFUSED_WAIT
        if wait is not None:
            action.ask_at = now + min(max(wait, 0.001), _ASK_AGAIN_LIMIT)
            return
        action.started, action.worker_id = now, lease.worker_id
        log.debug("scheduled action %s: begins", action.name)
        self._begin(action, lease.worker_id)

    def _end_unbegun(self, action: Action, worker_id: UUID) -> None:
        action.started, action.worker_id = time.monotonic(), worker_id
        self._ends.append(_End(action, worker_id, "not run: the database went away"))

    def _begin(self, action: Action, worker_id: UUID) -> None:
        if action.is_async:
            self._coroutines.run(partial(self._run_async, action, worker_id))
            return
        try:
            self._threads.run(partial(self._run_sync, action, worker_id))
        except RuntimeError as exc:  # no more threads
            self._end(action, worker_id, exc)

    def _run_sync(self, action: Action, worker_id: UUID) -> None:
        error: BaseException | None = None
        try:
            action.call()
        except BaseException as exc:  # noqa: BLE001 - it ends this run only
            error = exc
        leave_child(self._pid, error)
        self._end(action, worker_id, error)

    async def _run_async(self, action: Action, worker_id: UUID) -> bool:
        error: BaseException | None = None
        try:
            await action.call()
        except BaseException as exc:  # noqa: BLE001 - as above
            error = exc
        leave_child(self._pid, error)
        self._end(action, worker_id, error)
        return False

    def _end(self, action: Action, worker_id: UUID, exc: BaseException | None) -> None:
        error = None
        if exc is not None:
            error = clean(outcomes.judge_error(exc).message)
            self._report(HandlerError(f"scheduled action {action.name}: raised: {error}"))
        self._ends.append(_End(action, worker_id, error))
        self.prod()

    def _record_ends(self) -> None:
        while self._ends:
            action, worker_id, error = self._ends[0]
            try:
                self._driver.end_action(action.name, worker_id=worker_id, error=error)
            except AWAY:
                raise
            except DriverError:
                log.exception("scheduled action %s: its end cannot be recorded", action.name)
            action.started = None
            action.ask_at = 0.0
            self._ends.popleft()


def _name_of(action: Any) -> str:
    if hasattr(action, "do"):
        return type(action).__name__
    return getattr(action, "__name__", type(action).__name__)


def _stream_of(action: Any) -> str | None:
    stream = getattr(action, "stream", None)
    return stream() if callable(stream) else stream
