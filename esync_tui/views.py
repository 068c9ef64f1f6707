"""What the screens show: the driver's pictures with every text made harmless, once, on entry.

The raw task name is kept beside the shown one, since actions and filters need it; it is never
drawn. Tasks are known by their id.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from esync.problems import Problem, Severity, find_problems
from esync.snapshot import DETAIL_DATA_LIMIT
from esync.text import MESSAGE_LIMIT_BYTES
from esync_tui.text import shown, shown_lines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from esync.snapshot import (
        Cursor,
        Filter,
        LastMessage,
        NameRow,
        Overview,
        Pause,
        TaskDetail,
        TaskPage,
        TaskRow,
        WorkerRow,
    )

_ERROR_LIMIT = 20
_LAID_OUT_LIMIT = 4 * DETAIL_DATA_LIMIT
"""Characters of a task's data with a field a line."""


class NameView(NamedTuple):
    """One task name: its row, made harmless, and its name as it is stored."""

    row: NameRow
    raw_name: str
    severity: Severity | None
    """The worst of its problems."""


class TaskView(NamedTuple):
    """One task: its row, made harmless, and its name as it is stored."""

    row: TaskRow
    raw_name: str

    @property
    def task_id(self) -> UUID:
        """The id that actions act on."""
        return self.row.task_id


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewView:
    """The queue at one moment, worst names first."""

    at: datetime
    names: tuple[NameView, ...]
    workers: tuple[WorkerRow, ...]
    problems: tuple[Problem, ...]
    is_partial: bool
    """There was no time to read the tasks."""
    took_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PageView:
    """One page of tasks, and what was asked for."""

    where: Filter
    after: Cursor | None
    rows: tuple[TaskView, ...]
    next: Cursor | None
    unread: tuple[str, ...]
    """What there was no time to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """One unsuccessful attempt."""

    attempt: str
    at: str
    outcome: str
    seconds: str
    worker: str
    message: str
    traceback: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailView:
    """Everything about one task."""

    task: TaskView
    message: tuple[str, ...]
    data: tuple[str, ...]
    data_left: int
    """Characters of the data that were not read."""
    attempts: tuple[AttemptView, ...]
    """Newest first."""
    history: tuple[TaskView, ...]


def view_overview(overview: Overview) -> OverviewView:
    """Return an overview made harmless, with its problems and the worst names first."""
    problems = find_problems(overview)
    severities = {problem.name: problem.severity for problem in reversed(problems)}
    names = [
        NameView(_safe_name(row), row.name, severities.get(row.name)) for row in overview.names
    ]
    return OverviewView(
        at=overview.at,
        names=tuple(sorted(names, key=_worst_first)),
        workers=tuple(_safe_worker(worker) for worker in overview.workers),
        problems=tuple(replace(problem, text=shown(problem.text)) for problem in problems),
        is_partial=overview.is_partial,
        took_seconds=overview.took_seconds,
    )


def view_page(page: TaskPage, *, where: Filter, after: Cursor | None) -> PageView:
    """Return a page of tasks made harmless."""
    rows = tuple(view_task(row) for row in page.rows)
    return PageView(where=where, after=after, rows=rows, next=page.next, unread=page.unread)


def view_task(row: TaskRow) -> TaskView:
    """Return a task made harmless."""
    safe = replace(
        row,
        name=shown(row.name),
        key=shown(row.key),
        state=shown(row.state),
        created_by=shown(row.created_by or ""),
        message=shown(row.message or ""),
        worker=shown(row.worker or ""),
        cancel_requested=None if row.cancel_requested is None else shown(row.cancel_requested),
    )
    return TaskView(safe, row.name)


def view_detail(detail: TaskDetail) -> DetailView:
    """Return everything about a task made harmless, its data laid out for reading."""
    errors = detail.errors[-_ERROR_LIMIT:]
    return DetailView(
        task=view_task(detail.row),
        message=tuple(shown_lines(detail.message or "")),
        data=tuple(shown_lines(_laid_out(detail.raw_data), limit=_LAID_OUT_LIMIT)),
        data_left=detail.data_length - len(detail.raw_data),
        attempts=tuple(_view_attempt(error) for error in reversed(errors)),
        history=tuple(view_task(row) for row in detail.history),
    )


def _worst_first(view: NameView) -> tuple[int, str]:
    """Order by severity alone, then by name: an order by counts would never stand still."""
    ranks = {Severity.CRITICAL: 0, Severity.WARNING: 1, None: 2}
    return ranks[view.severity], view.raw_name


def _safe_name(row: NameRow) -> NameRow:
    return replace(
        row,
        name=shown(row.name),
        stream=None if row.stream is None else shown(row.stream),
        pause=_safe_pause(row.pause),
        last=_safe_last(row.last),
        last_failed=_safe_last(row.last_failed),
    )


def _safe_pause(pause: Pause | None) -> Pause | None:
    if pause is None:
        return None
    return replace(pause, by=shown(pause.by or ""), reason=shown(pause.reason or ""))


def _safe_last(last: LastMessage | None) -> LastMessage | None:
    if last is None:
        return None
    return replace(last, key=shown(last.key or ""), message=shown(last.message or ""))


def _safe_worker(worker: WorkerRow) -> WorkerRow:
    return replace(
        worker,
        host=shown(worker.host),
        names=tuple(shown(name) for name in worker.names),
        version=shown(worker.version),
    )


def _view_attempt(error: Mapping[str, Any]) -> AttemptView:
    """Read an entry of `errors` as text, whatever a foreign producer has written into it."""
    seconds = error.get("seconds")
    return AttemptView(
        attempt=shown(str(error.get("attempt", "?")), limit=20),
        at=shown(str(error.get("at", "-")), limit=40),
        outcome=shown(str(error.get("outcome", "")), limit=40),
        seconds=f"{seconds:.1f}s" if isinstance(seconds, int | float) else "-",
        worker=shown(str(error.get("worker", ""))),
        message=shown(str(error.get("message", "")), limit=MESSAGE_LIMIT_BYTES),
        traceback=tuple(shown_lines(str(error.get("traceback") or ""))),
    )


def _laid_out(raw_data: str) -> str:
    """Return JSON with a field a line, or the text as it is when it is cut or grows too long."""
    try:
        laid_out = json.dumps(json.loads(raw_data), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return raw_data
    return laid_out if len(laid_out) <= _LAID_OUT_LIMIT else raw_data
