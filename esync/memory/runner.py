"""Running tasks: registering, popping, finishing, sleeping, scheduled actions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from esync.driver import POP_LIMIT, STREAM_REST_SECONDS, Listener, Look, Popped
from esync.errors import DriverError
from esync.memory import rescue
from esync.memory.pop import Pop
from esync.memory.rows import Action, Minute, Row, Worker
from esync.memory.store import StorePart, check_storable
from esync.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from esync.driver import MinuteCount, Place, Rescued, RunnerInfo, WorkerInfo
    from esync.task import Finish, Release

_BUSY_SECONDS = 1.0
"""After this long a scheduled action that runs elsewhere, or whose stream is busy, is asked for
again."""

_MINUTES_KEPT = 24 * 60


class MemoryRunner(StorePart):
    """The runner side of the memory driver."""

    def register(self, worker: WorkerInfo, runners: Sequence[RunnerInfo]) -> None:
        """Enter a worker and its names."""
        store = self._store
        with store.lock:
            now = store.now()
            store.workers[worker.worker_id] = Worker(
                info=worker,
                runners={info.name: info for info in runners},
                started=now,
                heartbeat=now,
            )
            for info in runners:
                runner = store.runners[info.name]
                runner.last_seen, runner.limit, runner.stream = now, info.limit, info.stream

    def beat(self, worker_id: UUID, *, names: Collection[str]) -> bool:
        """Renew the worker's lease and the names' last_seen; False when its row is gone."""
        store = self._store
        with store.lock:
            worker = store.workers.get(worker_id)
            if worker is None:
                return False
            worker.heartbeat = store.now()
            for name in names:
                store.runners[name].last_seen = worker.heartbeat
            return True

    def leave(self, worker_id: UUID, *, is_running: bool = False) -> None:
        """Take the worker out; with handlers still running, mark it leaving instead."""
        with self._store.lock:
            if is_running and worker_id in self._store.workers:
                self._store.workers[worker_id].is_leaving = True
            else:
                self._store.remove_worker(worker_id)

    def rescue(
        self, *, max_crashes: int, sweep: bool = True, worker_id: UUID | None = None
    ) -> Rescued:
        """Give back the tasks of workers whose lease ran out."""
        with self._store.lock:
            sweep = sweep and rescue.may_sweep(self._store, worker_id)
            return rescue.rescue(self._store, max_crashes=max_crashes, sweep=sweep)

    def cancel_unknown(self, *, grace: float, forget_after: float) -> Mapping[str, int]:
        """Cancel due tasks of names that no worker knows; return how many of each name."""
        with self._store.lock:
            return rescue.cancel_unknown(self._store, grace=grace, forget_after=forget_after)

    def pop(
        self,
        name: str,
        *,
        worker_id: UUID,
        count: int,
        limit: int | None = None,
        stream: str | None = None,
        skip_keys: Collection[str] = (),
        suspects: bool = False,
        after: Place | None = None,  # noqa: ARG002 - looking from the start costs nothing here
    ) -> Popped:
        """Claim up to `count` tasks of a name, the newest due request of each key."""
        store = self._store
        with store.lock:
            now = store.now()
            store.require_lease(worker_id, now=now)
            if store.is_paused(name, now=now):
                return Popped(claims=())
            pop = Pop(
                store,
                name=name,
                worker_id=worker_id,
                wanted=min(count, 1 if suspects else POP_LIMIT),
                room=self._room(name, limit=limit, stream=stream),
                skip_keys=skip_keys,
                suspects=suspects,
            )
            return pop.run()

    def finish(self, finishes: Sequence[Finish], *, worker_id: UUID) -> set[UUID]:
        """Record outcomes; return the ids recorded, now or by an earlier call."""
        # All are checked before the first is written, as in one statement.
        errors = [_checked_error(finish) for finish in finishes]
        with self._store.lock:
            return {
                finish.task_id
                for finish, error in zip(finishes, errors, strict=True)
                if self._finish(finish, error, worker_id=worker_id)
            }

    def release(self, releases: Sequence[Release], *, worker_id: UUID) -> set[UUID]:
        """Give back claims that were never started; return the ids given back."""
        with self._store.lock:
            return {
                task_id
                for task_id, attempt in releases
                if self._release(task_id, attempt, worker_id=worker_id)
            }

    def look(
        self,
        names: Collection[str],
        *,
        worker_id: UUID,
        busy: Collection[str] = (),
        due_within: float | None = None,  # noqa: ARG002 - probing them all costs nothing here
    ) -> Look:
        """Probe all names of a worker at once, including what operators asked for."""
        store = self._store
        with store.lock:
            now = store.now()
            paused = frozenset(name for name in names if store.is_paused(name, now=now))
            active = [name for name in names if name not in paused and name not in busy]
            waits = [due for name in active if (due := store.next_due(name, now=now)) is not None]
            return Look(
                due=frozenset(name for name in active if any(store.due(name, now=now))),
                next_due=min(waits) - now if waits else None,
                paused=paused,
                intervals={},
                cancels={
                    row.task_id: row.cancel_requested
                    for rows in store.running.values()
                    for row in rows.values()
                    if row.claimed_by == worker_id and row.cancel_requested is not None
                },
                has_lost_worker=bool(rescue.lost_workers(store)),
            )

    def sleep(self, names: Collection[str], *, worker_id: UUID) -> None:
        """Write runners in as sleeping: inserts of their names send a wake-up from now on."""
        with self._store.lock:
            for name in names:
                self._store.sleepers[name].add(worker_id)

    def wake(self, names: Collection[str], *, worker_id: UUID) -> None:
        """Take runners out of the sleepers."""
        with self._store.lock:
            for name in names:
                self._store.sleepers[name].discard(worker_id)

    def listen(self) -> Listener | None:
        """Open a source of wake-ups."""
        return self._store.listen()

    def report(self, task_id: UUID, *, attempt: int, worker_id: UUID, message: str) -> None:
        """Show a running attempt's progress as its message; dropped if the lease is lost."""
        check_storable(message)
        with self._store.lock:
            row = self._store.rows.get(task_id)
            if row is not None and row.is_held(attempt=attempt, worker_id=worker_id):
                row.message = message

    def count(
        self,
        counts: Sequence[MinuteCount],
        *,
        worker_id: UUID,  # noqa: ARG002 - under one lock, workers need no counts of their own
    ) -> None:
        """Add to the counts of the current minute."""
        store = self._store
        with store.lock:
            minute = int(store.now() // 60)
            names = store.minutes.setdefault(minute, {})
            for count in counts:
                names[count.name] = names.get(count.name, Minute()).plus(count)
            for old in [at for at in store.minutes if at <= minute - _MINUTES_KEPT]:
                del store.minutes[old]

    def begin_action(
        self, name: str, *, worker_id: UUID, interval: float, stream: str | None
    ) -> float | None:
        """Claim the next run of a scheduled action; None = run it now, else seconds to wait."""
        store = self._store
        with store.lock:
            now = store.now()
            store.require_lease(worker_id, now=now)
            action = store.actions.setdefault(name, Action(started=now, stream=stream))
            due = max(action.started + interval, action.rests_until)
            if now < due:
                return due - now
            action.stream = stream
            if store.is_action_held(action) or (stream and store.is_stream_busy(stream)):
                return _BUSY_SECONDS
            action.started, action.interval, action.held_by = now, interval, worker_id
            return None

    def end_action(self, name: str, *, worker_id: UUID, error: str | None) -> None:
        """Record that the run claimed by `begin_action` has ended, and with which error."""
        with self._store.lock:
            action = self._store.actions.get(name)
            if action is not None and action.held_by == worker_id:
                action.held_by, action.error = None, error
                now = self._store.now()
                if action.stream and now >= action.started + action.interval:
                    action.rests_until = now + STREAM_REST_SECONDS

    def _room(self, name: str, *, limit: int | None, stream: str | None) -> int:
        """Return how many tasks the limit and the stream leave room for."""
        room = POP_LIMIT
        if limit is not None:
            room = max(0, limit - len(self._store.running[name]))
        if stream is not None:
            room = 0 if self._store.is_stream_busy(stream, name=name) else min(room, 1)
        return room

    def _finish(self, finish: Finish, error: dict[str, Any] | None, *, worker_id: UUID) -> bool:
        row = self._store.rows.get(finish.task_id)
        if row is None or not row.bears(attempt=finish.attempt, worker_id=worker_id):
            return False
        if row.state is not TaskState.IN_PROGRESS:
            return _is_outcome(row.state, finish)
        with self._store.changing(row):
            self._write(row, finish)
            if error is not None:
                row.add_error(error)
        return True

    def _write(self, row: Row, finish: Finish) -> None:
        now = self._store.now()
        is_cancelled = finish.state is TaskState.RETRY and row.cancel_requested is not None
        row.state = TaskState.CANCELLED if is_cancelled else finish.state
        row.message = finish.message
        row.last_attempted = now
        row.crashes = 0
        row.cancel_requested = None
        if finish.state in (TaskState.RETRY, TaskState.FAILED):
            row.tries += 1
        if row.state is TaskState.RETRY:
            row.do_after = now + finish.delay

    def _release(self, task_id: UUID, attempt: int, *, worker_id: UUID) -> bool:
        row = self._store.rows.get(task_id)
        if row is None or not row.is_held(attempt=attempt, worker_id=worker_id):
            return False
        with self._store.changing(row):
            row.state = TaskState.RETRY if row.tries else TaskState.READY
            if row.cancel_requested is not None:
                row.state = TaskState.CANCELLED
                row.message = f"Cancelled by {row.cancel_requested}"
            row.claimed_by = None
            row.cancel_requested = None
        return True


def _is_outcome(state: TaskState, finish: Finish) -> bool:
    """Whether a row that has ended shows this outcome, so that its finish had succeeded."""
    was_cancelled = finish.state is TaskState.RETRY and state is TaskState.CANCELLED
    return state is finish.state or was_cancelled


def _checked_error(finish: Finish) -> dict[str, Any] | None:
    check_storable(finish.message, finish.error or "")
    if finish.error is None:
        return None
    try:
        error = json.loads(finish.error)
    except (ValueError, RecursionError) as exc:
        msg = f"task {finish.task_id}: its error is no JSON"
        raise DriverError(msg) from exc
    if not isinstance(error, dict):
        msg = f"task {finish.task_id}: its error is no object"
        raise DriverError(msg)
    return error
