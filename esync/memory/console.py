"""What operators see."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from esync.memory import overview
from esync.memory.rows import moment
from esync.memory.store import StorePart
from esync.snapshot import (
    DETAIL_DATA_LIMIT,
    PENDING,
    Count,
    Cursor,
    Precision,
    TaskDetail,
    TaskPage,
    TaskRow,
)
from esync.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from esync.memory.rows import Row
    from esync.snapshot import AuditRow, Filter, Overview, WorkerRow

_MESSAGE_LIMIT = 300
_HISTORY_LIMIT = 50

_RUNNING, _PENDING, _FINISHED = range(3)
_Rank = tuple[int, tuple[float, ...]]
"""The group of a row in a list, and its position there."""


class MemoryConsole(StorePart):
    """The reading half of the console side of the memory driver."""

    def check_schema(self) -> None:
        """Do nothing: memory has no schema that could be older or newer."""

    def get_overview(self, *, minutes: int = 30) -> Overview:
        """Return the queue at this moment, with counts for so many minutes."""
        with self._store.lock:
            return overview.build(self._store, minutes=minutes)

    def list_tasks(self, where: Filter, *, limit: int, after: Cursor | None = None) -> TaskPage:
        """Return a page of matching tasks: running, then pending in run order, then finished."""
        with self._store.lock:
            start = None if after is None else _start(after)
            ranked = sorted(
                ((_rank(row), row) for row in self._matching(where)), key=lambda pair: pair[0]
            )
            rest = [(rank, row) for rank, row in ranked if start is None or rank > start]
            page = rest[:limit]
            return TaskPage(
                rows=tuple(self._view(row) for _, row in page),
                next=_cursor(page[-1][0]) if page and len(rest) > limit else None,
            )

    def count_tasks(self, where: Filter, *, cap: int = 10_000) -> Count:
        """Return how many tasks match, counting no further than the cap."""
        with self._store.lock:
            found = sum(1 for _ in islice(self._matching(where), cap + 1))
        return Count(min(found, cap), Precision.CAPPED if found > cap else Precision.EXACT)

    def find_tasks(
        self, key: str, *, name: str | None = None, limit: int = 50
    ) -> tuple[TaskRow, ...]:
        """Return the requests of a key in every state, newest first."""
        with self._store.lock:
            rows = [
                row
                for row in self._store.rows.values()
                if row.key == key and (name is None or row.name == name)
            ]
            rows.sort(key=lambda row: -row.seq)
            return tuple(self._view(row) for row in rows[:limit])

    def get_task(
        self, task_id: UUID, *, data_limit: int | None = DETAIL_DATA_LIMIT
    ) -> TaskDetail | None:
        """Return everything about one task, with so many characters of its data; None = all."""
        with self._store.lock:
            row = self._store.rows.get(task_id)
            if row is None:
                return None
            history = reversed(self._store.history[row.name, row.key])
            return TaskDetail(
                row=self._view(row),
                message=row.message,
                raw_data=row.raw_data[:data_limit],
                data_length=len(row.raw_data),
                errors=tuple(dict(error) for error in row.errors),
                history=tuple(self._view(other) for other in islice(history, _HISTORY_LIMIT)),
            )

    def list_workers(self) -> tuple[WorkerRow, ...]:
        """Return the workers, dead ones that were not rescued yet included."""
        with self._store.lock:
            return overview.list_workers(self._store)

    def list_audit(self, *, limit: int = 100) -> tuple[AuditRow, ...]:
        """Return what operators did, newest first."""
        with self._store.lock:
            return tuple(islice(reversed(self._store.audit), limit))

    def _matching(self, where: Filter) -> Iterator[Row]:
        now = self._store.now()
        return (row for row in self._store.rows.values() if _matches(row, where, now=now))

    def _view(self, row: Row) -> TaskRow:
        return TaskRow(
            task_id=row.task_id,
            name=row.name,
            key=row.key,
            state=row.state,
            seq=row.seq,
            priority=row.priority,
            attempts=row.attempts,
            tries=row.tries,
            crashes=row.crashes,
            created_at=moment(row.created_at),
            created_by=row.created_by,
            do_after=moment(row.do_after),
            last_attempted=None if row.last_attempted is None else moment(row.last_attempted),
            message=row.message[:_MESSAGE_LIMIT],
            worker=self._store.worker_label(row.claimed_by),
            superseded_by=row.superseded_by,
            cancel_requested=row.cancel_requested,
            has_newer=self._store.has_newer(row),
        )


def _matches(row: Row, where: Filter, *, now: float) -> bool:
    return (
        (not where.names or row.name in where.names)
        and (not where.states or row.state in where.states)
        and (not where.ids or row.task_id in where.ids)
        and _matches_text(row, where)
        and (where.since is None or _touched(row) >= now - where.since)
    )


def _matches_text(row: Row, where: Filter) -> bool:
    return (
        (where.key is None or row.key == where.key)
        and (where.key_prefix is None or row.key.startswith(where.key_prefix))
        and (where.error is None or where.error.lower() in row.message.lower())
    )


def _touched(row: Row) -> float:
    return row.created_at if row.last_attempted is None else row.last_attempted


def _rank(row: Row) -> _Rank:
    if row.state is TaskState.IN_PROGRESS:
        return _RUNNING, (_touched(row), row.seq)
    if row.state in PENDING:
        return _PENDING, (row.priority, row.do_after, row.seq)
    return _FINISHED, (-_touched(row), -row.seq)


def _cursor(rank: _Rank) -> Cursor:
    group, position = rank
    return Cursor(group, tuple(repr(float(number)) for number in position))


def _start(cursor: Cursor) -> _Rank:
    return cursor.group, tuple(float(number) for number in cursor.position)
