"""The queue at one moment, counted from the rows."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from esync.memory.rows import Minute, Runner, moment
from esync.snapshot import FINISHED, Count, LastMessage, NameRow, Overview, Pause, WorkerRow
from esync.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from esync.memory.rows import Row
    from esync.memory.store import Store

_AVERAGE_MINUTES = 5
_MESSAGE_LIMIT = 300


def build(store: Store, *, minutes: int) -> Overview:
    """Return the picture; the caller holds the store's lock."""
    by_name: dict[str, list[Row]] = defaultdict(list)
    for row in store.rows.values():
        by_name[row.name].append(row)
    names = sorted(by_name.keys() | store.runners.keys())
    return Overview(
        at=moment(store.now()),
        names=tuple(_name_row(store, name, rows=by_name[name], minutes=minutes) for name in names),
        workers=list_workers(store),
    )


def list_workers(store: Store) -> tuple[WorkerRow, ...]:
    """Return the workers in the order in which they came."""
    now = store.now()
    running = [row.claimed_by for rows in store.running.values() for row in rows.values()]
    return tuple(
        WorkerRow(
            worker_id=worker_id,
            host=worker.info.host,
            pid=worker.info.pid,
            names=tuple(sorted(worker.runners)),
            slots=worker.info.slots,
            running=running.count(worker_id),
            started_seconds=now - worker.started,
            heartbeat_seconds=now - worker.heartbeat,
            lease_seconds=worker.info.lease,
            is_leaving=worker.is_leaving,
            version=worker.info.version,
        )
        for worker_id, worker in store.workers.items()
    )


def _name_row(store: Store, name: str, *, rows: Sequence[Row], minutes: int) -> NameRow:
    now = store.now()
    runner = store.runners.get(name, Runner())
    slots = [
        worker.runners[name].slots
        for worker in store.workers.values()
        if name in worker.runners and worker.has_lease(now)
    ]
    due = [row.do_after for row in store.due(name, now=now)]
    ready = [row for row in rows if row.state is TaskState.READY]
    is_due = sum(row.do_after <= now for row in ready)
    past = _past(store, name, minutes=minutes)
    return NameRow(
        name=name,
        ready=Count(is_due),
        scheduled=Count(len(ready) - is_due),
        running=len(store.running[name]) if name in store.running else 0,
        retry=_count(rows, TaskState.RETRY),
        failed=_count(rows, TaskState.FAILED),
        oldest_seconds=now - min(due) if due else None,
        limit=runner.limit,
        stream=runner.stream,
        slots=sum(slots),
        workers=len(slots),
        is_known=runner.last_seen is not None,
        pause=_pause(store, name, now=now),
        done=tuple(minute.done for minute in past),
        failed_attempts=tuple(minute.failed + minute.retried for minute in past),
        average_seconds=_average(_past(store, name, minutes=_AVERAGE_MINUTES)),
        last=_last(rows, states=(*FINISHED, TaskState.RETRY), now=now),
        last_failed=_last(rows, states=(TaskState.FAILED,), now=now),
    )


def _count(rows: Sequence[Row], state: TaskState) -> Count:
    return Count(sum(row.state is state for row in rows))


def _past(store: Store, name: str, *, minutes: int) -> list[Minute]:
    """Return the counts of the last minutes, the current one last."""
    current = int(store.now() // 60)
    return [
        store.minutes.get(minute, {}).get(name, Minute())
        for minute in range(current - minutes + 1, current + 1)
    ]


def _average(past: Sequence[Minute]) -> float | None:
    attempts = sum(minute.attempts for minute in past)
    return sum(minute.run_seconds for minute in past) / attempts if attempts else None


def _pause(store: Store, name: str, *, now: float) -> Pause | None:
    if not store.is_paused(name, now=now):
        return None
    pause = store.runners[name].pause
    if pause is None:
        return None
    return Pause(
        by=f"{pause.by.who}@{pause.by.host}",
        reason=pause.by.reason,
        seconds=now - pause.at,
        resumes_in=None if pause.until is None else pause.until - now,
    )


def _last(rows: Sequence[Row], *, states: Collection[TaskState], now: float) -> LastMessage | None:
    ended = [
        (row.last_attempted, row.seq, row)
        for row in rows
        if row.state in states and row.last_attempted is not None
    ]
    if not ended:
        return None
    at, _, row = max(ended)
    return LastMessage(
        state=row.state, key=row.key, message=row.message[:_MESSAGE_LIMIT], seconds=now - at
    )
