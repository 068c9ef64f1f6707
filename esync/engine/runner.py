"""A runner: the handler of one task name and what this worker holds for it."""

from __future__ import annotations

import inspect
import math
import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from esync.driver import POP_LIMIT, RunnerInfo
from esync.engine.held import Held
from esync.engine.pace import Pace
from esync.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from uuid import UUID

    from esync.backoff import Backoff
    from esync.engine.lease import Lease
    from esync.engine.settings import HandlerSettings
    from esync.engine.task import Task
    from esync.task import Claim

PREFETCH_SECONDS = 0.1
"""A runner claims as much as it is likely to start within this time, in one pop or two."""
_PREFETCH_POPS = 4
"""If pops take long, since many workers share a database, as much as within so many of them."""
_PREFETCH_LIMIT_SECONDS = 0.5
"""But no more than that: claims that have waited for a second are given back."""
AHEAD_LIMIT = 2 * POP_LIMIT
"""Unstarted claims of a runner at most, about: while it performs one pop, the next is made."""
_LIMIT_SHARE = 2
"""Unstarted claims count against a limit: one worker takes a half of it at most for them."""
_LIMIT_BATCH_SHARE = 4
_LEAST_LIMIT_BATCH = 250
"""What is popped or recorded just now counts, too: a quarter of a limit at once gets through sooner
than a half, unless that is so little that more pops cost more."""
_SMOOTHING = 8
"""Attempts that weigh as much in the mean run time as everything before them."""
_TINY_SECONDS = 0.0005
"""Shorter attempts are mostly computing, which threads of one interpreter cannot share."""
_TINY_BUFFER_SECONDS = 0.02
"""Tiny work that one slot does in this time needs no second one."""
_UNFINISHED_LIMIT = 4 * POP_LIMIT
"""Claims in flight beyond which a runner waits for the finisher."""


class Runner:
    """One task name: its handler, its slots, its claims. Any thread may use it."""

    def __init__(self, name: str, handler: object, settings: HandlerSettings) -> None:
        self.name = name
        self.settings = settings
        self.call, self.is_async = find_call(handler, "handler", arguments=1)
        self.pace = Pace()
        self.buffer: deque[Held] = deque()
        """Claims that were not started yet: the popper appends, slots take from the left."""
        self.in_flight: dict[UUID, Held] = {}
        """Claims whose outcome is not recorded yet, started or not."""
        self.running: dict[Task, bool] = {}
        """Attempts whose handler runs in time. Whoever takes one out decides its outcome: taking
        is atomic, so no lock is needed. By attempt, since one of a lost lease may still run."""
        self.stuck: dict[Task, bool] = {}
        """Attempts that exceeded their timeout and whose thread still runs."""
        self.cancels: Mapping[UUID, str] = {}
        """Claims that somebody asked to cancel."""
        self.is_paused = False
        self.is_thirsty = False
        """The popper wants to be prodded when the buffer runs low."""
        self.low_water = 0
        self.average: float | None = None
        """Mean seconds of an attempt, recent ones weighing more; None before the first."""
        self.has_warned_delay = False
        self.backoff = settings.backoff
        self._lock = threading.Lock()  # guards _active
        self._active = 0

    @property
    def info(self) -> RunnerInfo:
        """What the worker registers."""
        return RunnerInfo(
            name=self.name,
            slots=self.settings.concurrency,
            limit=self.settings.limit,
            stream=self.settings.stream,
        )

    @property
    def active(self) -> int:
        """Slots that are at work."""
        return self._active

    def awaits_end(self, key: str) -> bool:
        """Whether something waits for the end of a key's attempt, or may in another worker."""
        is_limited = self.settings.limit is not None or self.settings.stream is not None
        return is_limited or self.pace.awaits_end(key)

    def set_interval(self, interval: float | None) -> None:
        """Use an operator's interval, or the handler's own again."""
        wanted = self.settings.backoff
        if interval is not None and math.isfinite(interval) and interval >= 0:
            wanted = _with_interval(wanted, interval)
        if wanted != self.backoff:
            self.backoff = wanted

    def room(self) -> int:
        """Return how many tasks to pop now."""
        if self.is_paused or self.is_stalled():
            return 0
        buffered = len(self.buffer)
        wanted = self.settings.concurrency - self._active - buffered
        ahead = self._ahead()
        self.low_water = ahead // 2
        if ahead and buffered <= self.low_water:
            wanted = max(wanted, ahead - buffered)
        return min(max(wanted, 0), self._most_at_once())

    def is_stalled(self) -> bool:
        """Whether the runner must not pop: too many stuck threads, or too much to record."""
        is_stuck = len(self.stuck) > self.settings.stuck_limit
        return is_stuck or len(self.in_flight) > _UNFINISHED_LIMIT

    def hold(self, claims: Iterable[Claim], *, lease: Lease) -> None:
        """Take claims into the buffer."""
        now = time.monotonic()
        held = [Held(claim, lease, now) for claim in claims]
        self.in_flight.update((one.claim.task_id, one) for one in held)
        self.buffer.extend(held)

    def disown(self, lease: Lease) -> None:
        """Forget the claims of a lease that was lost: they are in others' hands."""
        for task_id, held in list(self.in_flight.items()):
            if held.lease is lease:
                self.in_flight.pop(task_id, None)

    def take_slots(self, *, is_late: bool = False) -> int:
        """Return how many more slots are to begin; they count as active from now on.

        `is_late` says that tasks have waited: then no slot is spared.
        """
        with self._lock:
            wanted = self.settings.concurrency if is_late else self._useful_slots()
            count = min(wanted - self._active, len(self.buffer))
            count = max(count, 0)
            self._active += count
            return count

    def leave_slot(self) -> bool:
        """Give a slot back unless there is something to do; return whether it was given back."""
        with self._lock:
            if self.buffer:
                return False
            self._active -= 1
            return True

    def drop_slot(self) -> None:
        """Give a slot back: its thread is stuck or broken."""
        with self._lock:
            self._active -= 1

    def take_unstarted(self) -> list[Held]:
        """Empty the buffer; return what was in it."""
        taken: list[Held] = []
        while True:
            try:
                taken.append(self.buffer.pop())
            except IndexError:
                return taken

    def oldest_wait(self, now: float) -> float:
        """Return how long the first unstarted claim has waited; 0 when there is none."""
        try:
            return now - self.buffer[0].popped_at
        except IndexError:
            return 0.0

    def note_seconds(self, seconds: float, count: int) -> None:
        """Learn from attempts that ended; the finisher's thread calls this."""
        mean = seconds / count
        if self.average is None:
            self.average = mean
        else:
            self.average += (mean - self.average) * count / (count + _SMOOTHING)

    def expect_slow(self, seconds: float) -> None:
        """Take handlers to be slow until they prove otherwise: prefetched tasks had to wait."""
        self.average = max(self.average or 0.0, seconds)

    def _most_at_once(self) -> int:
        limit = self.settings.limit
        if limit is None:
            return POP_LIMIT
        return min(max(limit // _LIMIT_BATCH_SHARE, _LEAST_LIMIT_BATCH), POP_LIMIT)

    def _ahead(self) -> int:
        """Return how many tasks are likely to start until the next pops have brought more."""
        limit = self.settings.limit
        if self.average is None or self.settings.stream:
            return 0  # what waits in a buffer keeps a stream from others
        if self.pace.is_quarantined or self.pace.wants_suspect:
            return 0
        seconds = max(PREFETCH_SECONDS, _PREFETCH_POPS * self.pace.pop_seconds)
        seconds = min(seconds, _PREFETCH_LIMIT_SECONDS)
        per_slot = seconds / self.average if self.average > 0 else math.inf
        most = AHEAD_LIMIT if limit is None else limit // _LIMIT_SHARE
        return int(min(self.settings.concurrency * per_slot, most))

    def _useful_slots(self) -> int:
        if self.is_async or self.average is None or self.average > _TINY_SECONDS:
            return self.settings.concurrency
        needed = math.ceil(len(self.buffer) * self.average / _TINY_BUFFER_SECONDS)
        return min(max(needed, 1), self.settings.concurrency)


def find_call(handler: object, what: str, *, arguments: int) -> tuple[Callable[..., Any], bool]:
    """Return what is to be called, and whether it is async; raise SettingError otherwise."""
    shape = "do(task)" if arguments else "do()"
    call = getattr(handler, "do", handler)
    if inspect.isclass(handler) or not callable(call):
        name = handler.__name__ if inspect.isclass(handler) else type(handler).__name__
        kind = "class" if inspect.isclass(handler) else "an instance of"
        raise SettingError(
            f"{what} must be an object with {shape}, or a function, got {kind} {name}"
        )
    try:
        inspect.signature(call).bind(*[None] * arguments)
    except TypeError:
        count = "one argument, the task" if arguments else "no arguments"
        raise SettingError(f"{what} must take {count}, got {call!r}") from None
    except ValueError:  # some built-in functions have no signature to look at
        pass
    is_async = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(
        getattr(call, "__call__", None)  # noqa: B004 - an object whose __call__ is async def
    )
    return call, is_async


def _with_interval(backoff: Backoff, interval: float) -> Backoff:
    try:
        return replace(backoff, interval=interval)
    except SettingError:  # the store holds more than a backoff may: the handler's own stays
        return backoff
