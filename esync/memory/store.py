"""The tables of the memory driver: rows, their indexes, one lock, one clock."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections import defaultdict
from contextlib import contextmanager
from itertools import takewhile
from typing import TYPE_CHECKING

from esync.errors import DriverError, WorkerGoneError
from esync.memory.listener import MemoryListener
from esync.memory.rows import Action, Minute, Row, Runner, Worker
from esync.snapshot import PENDING, AuditRow
from esync.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

_Place = tuple[int, float, int, Row]
"""Priority, due time and seq order a name's pending rows; seq is unique, so rows never compare."""


class Store:
    """Rows and indexes. `lock` guards everything here and every row; take it, then call."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self.lock = threading.RLock()
        self.shift = 0.0
        """Seconds that were let pass beyond the clock's own."""
        self.rows: dict[UUID, Row] = {}
        self.history: dict[tuple[str, str], list[Row]] = defaultdict(list)
        """The requests of each name and key, oldest first."""
        self.running: dict[str, dict[str, Row]] = defaultdict(dict)
        """Rows IN PROGRESS by name and key: one per key, by construction."""
        self.workers: dict[UUID, Worker] = {}
        self.runners: dict[str, Runner] = defaultdict(Runner)
        self.sleepers: dict[str, set[UUID]] = defaultdict(set)
        self.actions: dict[str, Action] = {}
        self.minutes: dict[int, dict[str, Minute]] = {}
        self.audit: list[AuditRow] = []
        self._clock = clock
        self._run_order: dict[str, list[_Place]] = defaultdict(list)
        self._pending: dict[tuple[str, str], dict[int, Row]] = defaultdict(dict)
        self._listeners: list[MemoryListener] = []
        self._last_seq = 0

    def now(self) -> float:
        """Return the time that is stored: seconds since 1970."""
        return self._clock() + self.shift

    def next_seq(self) -> int:
        """Return the next place in the order of arrival."""
        self._last_seq += 1
        return self._last_seq

    def insert(self, row: Row) -> None:
        """Store a new row."""
        self.rows[row.task_id] = row
        self.history[row.name, row.key].append(row)
        self._link(row)

    @contextmanager
    def changing(self, row: Row) -> Iterator[Row]:
        """Keep the indexes true while a row changes."""
        self._unlink(row)
        try:
            yield row
        finally:
            self._link(row)

    def due(self, name: str, *, now: float) -> Iterator[Row]:
        """Yield the due rows of a name in run order; no row may change meanwhile."""
        order = self._run_order.get(name, [])
        at = 0
        while at < len(order):
            priority, do_after, _, row = order[at]
            if do_after <= now:
                yield row
                at += 1
            else:  # nothing later of this priority is due
                at = bisect_left(order, (priority + 1,), lo=at)

    def pending(self, name: str, key: str) -> list[Row]:
        """Return the READY and RETRY rows of a key."""
        return list(self._pending.get((name, key), {}).values())

    def next_due(self, name: str, *, now: float) -> float | None:
        """Return when the next row of a name becomes due that is not due yet."""
        order = self._run_order.get(name, [])
        return min((place[1] for place in order if place[1] > now), default=None)

    def pending_names(self) -> list[str]:
        """Return the names with READY or RETRY rows."""
        return [name for name, order in self._run_order.items() if order]

    def is_paused(self, name: str, *, now: float) -> bool:
        """Whether a runner is paused; a pause whose time is over is none."""
        runner = self.runners.get(name)
        if runner is None or runner.pause is None:
            return False
        return runner.pause.until is None or now < runner.pause.until

    def require_lease(self, worker_id: UUID, *, now: float) -> None:
        """Raise WorkerGoneError unless the worker has a live row."""
        worker = self.workers.get(worker_id)
        if worker is None or not worker.has_lease(now):
            msg = f"worker {worker_id}: no live row; register under a new id"
            raise WorkerGoneError(msg)

    def is_stream_busy(self, stream: str, *, name: str | None = None) -> bool:
        """Whether a runner or scheduled action of the stream (or the named runner) runs."""
        members = {n for n, runner in self.runners.items() if runner.stream == stream}
        if any(self.running.get(member) for member in members | {name or ""}):
            return True
        return any(
            action.stream == stream and self.is_action_held(action)
            for action in self.actions.values()
        )

    def is_action_held(self, action: Action) -> bool:
        """Whether a worker that is still there runs the action."""
        return action.held_by is not None and action.held_by in self.workers

    def has_newer(self, row: Row) -> bool:
        """Whether a newer request of the key waits, runs or is done."""
        newest_first = reversed(self.history[row.name, row.key])
        newer = takewhile(lambda other: other.seq > row.seq, newest_first)
        ended_badly = (TaskState.FAILED, TaskState.CANCELLED)
        return any(other.state not in ended_badly for other in newer)

    def worker_label(self, worker_id: UUID | None) -> str:
        """Return host:pid of a worker that is there, its id if not, or nothing."""
        if worker_id is None:
            return ""
        worker = self.workers.get(worker_id)
        return str(worker_id) if worker is None else f"{worker.info.host}:{worker.info.pid}"

    def remove_worker(self, worker_id: UUID) -> None:
        """Delete a worker's row and take it out of the sleepers."""
        self.workers.pop(worker_id, None)
        for sleepers in self.sleepers.values():
            sleepers.discard(worker_id)

    def listen(self) -> MemoryListener:
        """Open a source of wake-ups."""
        listener = MemoryListener(on_close=self._forget)
        with self.lock:
            self._listeners.append(listener)
        return listener

    def notify(self, payload: str) -> None:
        """Wake everybody who listens."""
        for listener in self._listeners:
            listener.put(payload)

    def _forget(self, listener: MemoryListener) -> None:
        with self.lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def _link(self, row: Row) -> None:
        if row.state in PENDING:
            insort(self._run_order[row.name], _place(row))
            self._pending[row.name, row.key][row.seq] = row
        elif row.state is TaskState.IN_PROGRESS:
            self.running[row.name][row.key] = row

    def _unlink(self, row: Row) -> None:
        if row.state in PENDING:
            order = self._run_order[row.name]
            del order[bisect_left(order, _place(row))]
            del self._pending[row.name, row.key][row.seq]
        elif row.state is TaskState.IN_PROGRESS:
            del self.running[row.name][row.key]


class StorePart:
    """A part of the driver: it works on the store that all parts share."""

    def __init__(self, store: Store) -> None:
        self._store = store


def check_storable(*texts: str) -> None:
    """Raise DriverError for what PostgreSQL would refuse: a NUL or a lone surrogate."""
    for text in texts:
        if "\x00" in text:
            raise DriverError("text must not contain NUL characters")
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            msg = f"text must be valid Unicode, got a lone surrogate at {exc.start}"
            raise DriverError(msg) from None


def _place(row: Row) -> _Place:
    return (row.priority, row.do_after, row.seq, row)
