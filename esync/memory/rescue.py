"""Giving tasks back: those of workers that are gone, and those whose name nobody knows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from esync.driver import Rescued
from esync.memory.rows import moment
from esync.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from esync.memory.rows import Row, Worker
    from esync.memory.store import Store


def lost_workers(store: Store) -> Mapping[UUID, Worker]:
    """Return the workers whose lease ran out or that are leaving."""
    now = store.now()
    return {i: worker for i, worker in store.workers.items() if not worker.has_lease(now)}


def may_sweep(store: Store, worker_id: UUID | None) -> bool:
    """Whether a worker is the first of those that live; nobody in particular may always."""
    now = store.now()
    if worker_id not in store.workers:
        return True
    alive = {i: worker.info.lease for i, worker in store.workers.items() if worker.has_lease(now)}
    mine = store.workers[worker_id].info.lease, worker_id
    return all(mine <= (lease, i) for i, lease in alive.items())


def rescue(store: Store, *, max_crashes: int, sweep: bool) -> Rescued:
    """Take out the workers that are lost; give their tasks back."""
    gone = lost_workers(store)
    leaving = {i for i, worker in gone.items() if worker.is_leaving}
    for worker_id in gone:
        store.remove_worker(worker_id)
    states: Counter[TaskState] = Counter()
    for row in _orphans(store) if sweep or gone else ():
        is_crash = row.claimed_by not in leaving
        states[_give_back(store, row, is_crash=is_crash, max_crashes=max_crashes)] += 1
        store.notify(row.name)
    return Rescued(
        workers=len(gone), retried=states[TaskState.RETRY], failed=states[TaskState.FAILED]
    )


def cancel_unknown(store: Store, *, grace: float, forget_after: float) -> Mapping[str, int]:
    """Cancel due tasks whose name no worker knows, or knows no longer; count them by name."""
    now = store.now()
    cancelled: Counter[str] = Counter()
    for name in store.pending_names():
        if store.is_paused(name, now=now):
            continue
        seen = store.runners[name].last_seen if name in store.runners else None
        if seen is not None and now - seen < forget_after:
            continue
        patience = grace if seen is None else 0.0
        for row in list(store.due(name, now=now)):
            if now - max(row.do_after, row.created_at) >= patience:
                _cancel(store, row)
                cancelled[name] += 1
    return cancelled


def _orphans(store: Store) -> list[Row]:
    """Return the rows IN PROGRESS whose worker has no row, for whatever reason."""
    running = [row for rows in store.running.values() for row in rows.values()]
    return [row for row in running if row.claimed_by not in store.workers]


def _give_back(store: Store, row: Row, *, is_crash: bool, max_crashes: int) -> TaskState:
    with store.changing(row):
        row.state = TaskState.RETRY
        if is_crash:
            _count_crash(row, now=store.now())
        if row.cancel_requested is not None:
            row.state = TaskState.CANCELLED
            row.message = f"Cancelled by {row.cancel_requested}"
        elif is_crash and row.crashes >= max_crashes:
            row.state = TaskState.FAILED
        row.claimed_by = None
        row.cancel_requested = None
    return row.state


def _count_crash(row: Row, *, now: float) -> None:
    row.crashes += 1
    row.tries += 1
    row.message = f"Worker {row.claimed_by} was lost during attempt {row.attempts}"
    row.last_attempted = now
    row.add_error(
        {
            "at": moment(now).isoformat(),
            "attempt": row.attempts,
            "outcome": "CRASH",
            "message": row.message,
            "worker": str(row.claimed_by),
        }
    )


def _cancel(store: Store, row: Row) -> None:
    with store.changing(row):
        row.state = TaskState.CANCELLED
        row.message = "No worker knows this task name"
