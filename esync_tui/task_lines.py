"""What is told about one task, as lines: for the Detail screen and for the pane beside the list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esync.task import TaskState
from esync.text import age
from esync_tui.text import Piece, Pieces, since, spread, stamp, state_glyph, state_tone
from esync_tui.widgets.table import Column, Row

if TYPE_CHECKING:
    from datetime import datetime

    from esync_tui.views import AttemptView, DetailView, TaskView

HISTORY_COLUMNS = (
    Column(title="STATE", width=13),
    Column(title="TRY", width=3, is_right=True),
    Column(title="AGE", width=6, is_right=True),
    Column(title="WHEN", width=9, is_right=True),
    Column(title="BY", width=12, most=24, from_width=90),
    Column(title="ID", width=36, from_width=120),
    Column(title="LAST MESSAGE", width=20, most=500),
)


def title_line(task: TaskView, width: int) -> Pieces:
    """Return which task it is and how it stands."""
    row = task.row
    left: Pieces = (
        Piece(" < ", "muted"), Piece(row.name, "strong"), Piece(" / ", "muted"),
        Piece(row.key, "strong"),
    )  # fmt: skip
    right: Pieces = (
        Piece(f"{state_glyph(row.state)} {row.state}", state_tone(row.state)),
        Piece(f"  {tries(task)} "),
    )
    return spread(left, right, width)


def fact_lines(task: TaskView, now: datetime | None) -> list[Pieces]:
    """Return where a task comes from, when it is due, and who runs it."""
    row = task.row
    origin = f" id {row.task_id}   priority {row.priority}"
    origin += f"   by {row.created_by}" if row.created_by else ""
    times = f" created {stamp(row.created_at)} ({since(row.created_at, now)} ago)"
    times += f"   due {stamp(row.do_after)}"
    lines = [(Piece(origin),), (Piece(times),)]
    return [*lines, (Piece(_running_fact(task, now)), *_remark(task))]


def message_lines(detail: DetailView) -> list[Pieces]:
    """Return the whole last message."""
    tone = "failed" if detail.task.row.state == TaskState.FAILED else ""
    if not any(detail.message):
        return [(Piece("no attempt has left a message yet", "muted"),)]
    return [
        (Piece(line, tone if number == 0 else ""),) for number, line in enumerate(detail.message)
    ]


def attempt_lines(detail: DetailView, *, with_tracebacks: bool = True) -> list[Pieces]:
    """Return the unsuccessful attempts, newest first."""
    if not detail.attempts:
        return [(Piece("no attempt has failed", "muted"),)]
    lines: list[Pieces] = []
    for attempt in detail.attempts:
        lines.append(_attempt_line(attempt))
        if with_tracebacks:
            lines += [(Piece(f"    {line}", "muted"),) for line in attempt.traceback if line]
    return lines


def data_lines(detail: DetailView) -> list[Pieces]:
    """Return the data of the task as JSON, after a line that says whether it is cut."""
    lines: list[Pieces] = [(Piece(line),) for line in detail.data]
    if detail.data_left:
        twin = f"esync show --id {detail.task.task_id} --json"
        text = f"cut: {detail.data_left:,} more characters; {twin} has all"
        lines.insert(0, (Piece(text, "warning"),))
    return lines


def pane_lines(detail: DetailView, now: datetime | None, width: int) -> list[Pieces]:
    """Return everything at once, the most telling first, for the pane beside the list."""
    rule: Pieces = (Piece("─" * width, "muted"),)
    return [
        title_line(detail.task, width),
        *fact_lines(detail.task, now),
        rule,
        *message_lines(detail),
        (Piece(""),),
        (Piece("attempts that failed", "header"),),
        *attempt_lines(detail, with_tracebacks=False),
        (Piece(""),),
        (Piece("data", "header"),),
        *data_lines(detail),
    ]


def history_row(task: TaskView, now: datetime | None, *, is_this: bool) -> Row:
    """Return one request of a key."""
    row = task.row
    return Row(
        key=task.task_id,
        flag=Piece("=" if is_this else "", "strong"),
        cells=(
            state_cell(task),
            (Piece(str(row.tries)),),
            (Piece(since(row.created_at, now)),),
            (Piece(when(task, now)),),
            (Piece(row.created_by),),
            (Piece(str(row.task_id), "muted"),),
            (Piece(row.message),),
        ),
    )


def state_cell(task: TaskView) -> Pieces:
    """Return the state with its glyph."""
    state = task.row.state
    return (Piece(f"{state_glyph(state)} {state}", state_tone(state)),)


def tries(task: TaskView) -> str:
    """Return how often a task was tried, as people say it."""
    count = task.row.tries
    return f"{count} {'try' if count == 1 else 'tries'}"


def when(task: TaskView, now: datetime | None) -> str:
    """Return how long ago the task ended, began or became due, or in what time it is due."""
    row = task.row
    if row.state in (TaskState.READY, TaskState.RETRY):
        if row.do_after is None or now is None:
            return "-"
        left = (row.do_after - now).total_seconds()
        return f"in {age(left)}" if left > 0 else age(-left)
    return since(row.last_attempted, now)


def _running_fact(task: TaskView, now: datetime | None) -> str:
    row = task.row
    fact = f" attempt {row.attempts}" if row.attempts else " never attempted"
    if row.last_attempted is not None:
        word = "running for" if row.state == TaskState.IN_PROGRESS else "last attempt"
        ago = "" if row.state == TaskState.IN_PROGRESS else " ago"
        fact += f"   {word} {since(row.last_attempted, now)}{ago}"
    fact += f"   worker {row.worker}" if row.worker else ""
    return fact + (f"   crashes {row.crashes}" if row.crashes else "")


def _remark(task: TaskView) -> Pieces:
    """Return what one must know before acting on the task."""
    row = task.row
    if row.cancel_requested is not None:
        return (Piece(f"   cancel asked for by {row.cancel_requested}", "warning"),)
    if row.superseded_by is not None:
        return (Piece(f"   superseded by {row.superseded_by}", "cancelled"),)
    return (Piece("   ^ a newer request of this key exists", "cancelled"),) if row.has_newer else ()


def _attempt_line(attempt: AttemptView) -> Pieces:
    head = f"{attempt.attempt:>3}  {attempt.at}  {attempt.seconds}  {attempt.worker}  "
    return (Piece(head, "muted"), Piece(f"{attempt.outcome}  ", "failed"), Piece(attempt.message))
