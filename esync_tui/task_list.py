"""How the list of tasks is drawn: its columns, its rows, the states and the filter above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esync.snapshot import Filter
from esync.task import TaskState
from esync_tui.query import format_filter
from esync_tui.task_lines import state_cell, when
from esync_tui.text import (
    Piece,
    Pieces,
    add_counts,
    fit,
    format_count,
    running_count,
    since,
    spread,
    state_tone,
)
from esync_tui.widgets.table import Column, Row

if TYPE_CHECKING:
    from esync.snapshot import Count
    from esync_tui.state import State
    from esync_tui.views import PageView, TaskView

STATE_TABS: tuple[tuple[str, TaskState | None], ...] = (
    ("All", None),
    ("READY", TaskState.READY),
    ("RUN", TaskState.IN_PROGRESS),
    ("RETRY", TaskState.RETRY),
    ("FAILED", TaskState.FAILED),
    ("CANC", TaskState.CANCELLED),
    ("DONE", TaskState.DONE),
)
"""The states in the order of their tabs."""


def columns(where: Filter) -> tuple[Column, ...]:
    """Return the columns; what the filter says of every row needs none."""
    return (
        Column(title="KEY", width=12, most=26),
        *(() if len(where.names) == 1 else (Column(title="NAME", width=13, most=20),)),
        *(() if len(where.states) == 1 else (Column(title="STATE", width=13),)),
        Column(title="TRY", width=3, is_right=True),
        Column(title="AGE", width=6, is_right=True, from_width=76),
        Column(title="WHEN", width=9, is_right=True),
        Column(title="BY", width=10, most=18, from_width=100),
        Column(title="LAST MESSAGE", width=12, most=500),
    )


def task_row(task: TaskView, state: State) -> Row:
    """Return one task of the list."""
    row = task.row
    where = state.picture.page.where if state.picture.page is not None else Filter()
    newer: Pieces = (Piece(" ^", "cancelled"),) if row.has_newer else ()
    asked = row.cancel_requested is not None
    message = f"cancel asked for by {row.cancel_requested}" if asked else row.message
    return Row(
        key=task.task_id,
        flag=_flag(task, is_lost=state.is_lost),
        cells=(
            (Piece(row.key), *newer),
            *(() if len(where.names) == 1 else ((Piece(row.name),),)),
            *(() if len(where.states) == 1 else (state_cell(task),)),
            (Piece(str(row.tries)),),
            (Piece(since(row.created_at, state.clock)),),
            (Piece(when(task, state.clock)),),
            (Piece(row.created_by),),
            (Piece(message, "warning" if asked else ""),),
        ),
    )


def _flag(task: TaskView, *, is_lost: bool) -> Piece:
    if is_lost:
        return Piece(":", "lost")
    return Piece("!", "warning") if task.row.crashes else Piece("")


def states_line(where: Filter, state: State, width: int) -> Pieces:
    """Return the states with their counts, the current one in brackets."""
    line: Pieces = (Piece(" "),)
    for label, tab in STATE_TABS:
        count = _count_of(tab, where, state)
        text = label if count is None else f"{label} {format_count(count)}"
        is_current = where.states == ((tab,) if tab is not None else ())
        tone = "" if tab is None else state_tone(tab)
        line += (Piece(f"[{text}] ", "tab"),) if is_current else (Piece(f" {text}  ", tone),)
    return fit(line, width)


def _count_of(tab: TaskState | None, where: Filter, state: State) -> Count | None:
    """Return how many tasks of the filter's names are in a state, where the overview knows."""
    overview = state.picture.overview
    if overview is None or tab is None:
        return None
    rows = [v.row for v in overview.names if not where.names or v.raw_name in where.names]
    if tab is TaskState.READY:
        return add_counts(count for row in rows for count in (row.ready, row.scheduled))
    if tab is TaskState.RETRY:
        return add_counts(row.retry for row in rows)
    if tab is TaskState.FAILED:
        return add_counts(row.failed for row in rows)
    if tab is TaskState.IN_PROGRESS:
        return add_counts(running_count(row.running) for row in rows)
    return None


def filter_line(where: Filter, state: State, width: int) -> Pieces:
    """Return the filter, and how many tasks match."""
    matched = state.picture.matched_by(where)
    right = "" if matched is None else f"{format_count(matched)} match "
    terms = format_filter(where)
    left = (Piece(" / "), Piece(terms, "key")) if terms else (Piece(" / everything", "muted"),)
    return spread(left, (Piece(right, "muted"),), width)


def unread_text(page: PageView) -> str:
    """Return what may be missing from a page."""
    return f"took too long to read: {', '.join(page.unread)}"


def arrived(page: PageView, drawn: PageView | None) -> int:
    """Return how many tasks of a page a list that stands still does not show."""
    before = set() if drawn is None else {task.task_id for task in drawn.rows}
    return sum(task.task_id not in before for task in page.rows)
