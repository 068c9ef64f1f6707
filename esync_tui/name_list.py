"""How the list of task names is drawn: its columns, its rows, and what stands below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esync.snapshot import rate_per_minute
from esync.task import TaskState
from esync.text import age
from esync_tui.spark import chart, spark
from esync_tui.text import (
    UNREAD,
    Piece,
    Pieces,
    duration,
    format_count,
    quoted,
    running_count,
    state_glyph,
    state_tone,
)
from esync_tui.widgets.table import Column, Row

if TYPE_CHECKING:
    from textual.geometry import Size

    from esync.problems import Severity
    from esync.snapshot import LastMessage, NameRow, WorkerRow
    from esync_tui.views import NameView, OverviewView

_TREND = 30
"""Minutes of the trend."""

_FULL = 110
"""Cells from which on there is room for every column."""

_CHART_TOP = 1


def columns(*, is_wide: bool) -> tuple[Column, ...]:
    """Return the columns of the list of names."""
    last = (
        Column(title="LAST MESSAGE", width=15, most=500)
        if is_wide
        else Column(title="LAST MINUTES", width=14, most=_TREND, keeps_end=True)
    )
    unless_wide = 1000 if is_wide else 0  # cells; no terminal is as wide
    return (
        Column(title="NAME", width=18, most=32),
        Column(title="READY", width=7, is_right=True),
        Column(title="RUN", width=6, is_right=True),
        Column(title="RETRY", width=6, is_right=True),
        Column(title="FAIL", width=6, is_right=True),
        Column(title="SCHED", width=6, is_right=True, from_width=max(_FULL, unless_wide)),
        Column(title="OLDEST", width=6, is_right=True, from_width=unless_wide),
        Column(title="DONE/m", width=6, is_right=True, from_width=unless_wide),
        Column(title="FAIL/m", width=6, is_right=True, from_width=max(_FULL, unless_wide)),
        Column(title="AVG", width=6, is_right=True, from_width=max(_FULL, unless_wide)),
        last,
    )


def name_row(view: NameView, *, second: int, is_lost: bool, is_wide: bool) -> Row:
    """Return one task name of the list."""
    row = view.row
    failures = rate_per_minute(row.failed_attempts, second=second)
    return Row(
        key=view.raw_name,
        flag=_flag(view, is_lost=is_lost),
        cells=(
            (Piece(row.name, _severity_tone(view.severity)),),
            _number(format_count(row.ready), "ready"),
            _running(row),
            _number(format_count(row.retry), "retry"),
            _number(format_count(row.failed), "failed"),
            _number(format_count(row.scheduled), "scheduled"),
            _oldest(row),
            _number(f"{rate_per_minute(row.done, second=second):,}", "done"),
            _number(f"{failures:,}", "failed"),
            (Piece(duration(row.average_seconds)),),
            _last_message(row) if is_wide else _trend(row),
        ),
        second=(Piece("     "), *_last_message(row)),
    )


def _number(text: str, tone: str) -> Pieces:
    return (Piece(text, "muted" if text in ("0", UNREAD) else tone),)


def _running(row: NameRow) -> Pieces:
    """Return what runs of what may run: the limit of the cluster, else the workers' slots."""
    most = row.slots if row.limit is None else min(row.limit, row.slots or row.limit)
    running = format_count(running_count(row.running))
    return (Piece(f"{running}/{most}", "running" if row.running else "muted"),)


def _oldest(row: NameRow) -> Pieces:
    if row.is_unread:
        return (Piece(UNREAD, "muted"),)
    return (Piece("-" if row.oldest_seconds is None else age(row.oldest_seconds)),)


def _flag(view: NameView, *, is_lost: bool) -> Piece:
    if is_lost:
        return Piece(":", "lost")
    if view.row.pause is not None:
        return Piece("=", "paused")
    return Piece("!", _severity_tone(view.severity)) if view.severity else Piece("")


def _severity_tone(severity: Severity | None) -> str:
    return "" if severity is None else severity.value


def _trend(row: NameRow) -> Pieces:
    """Return the bars of what was done; minutes with failures are drawn in their tone."""
    totals = [done + failed for done, failed in zip(row.done, row.failed_attempts, strict=False)]
    bars = spark(totals, width=len(totals))
    failed = row.failed_attempts
    return tuple(
        Piece(bar, "failed" if failed[number] else "done") for number, bar in enumerate(bars)
    )


def _last_message(row: NameRow) -> Pieces:
    last = row.last
    if last is None:
        none = f"{UNREAD} not read" if row.is_unread else "no attempt has ended yet"
        return (Piece(none, "muted"),)
    tone = state_tone(last.state)
    return (
        Piece(f"{state_glyph(last.state)} ", tone),
        Piece(f"{age(last.seconds)} ago  {last.key}  ", "muted"),
        Piece(last.message or "(no message)", "failed" if tone == "failed" else "muted"),
    )


def about_lines(row: NameRow) -> tuple[Pieces, ...]:
    """Return three lines about the name under the cursor."""
    none = UNREAD if row.is_unread else "-"
    last = () if row.last == row.last_failed else _told("last", row.last, none)
    return (_facts(row), _told("last FAILED", row.last_failed, none), last)


def _facts(row: NameRow) -> Pieces:
    workers = f"{row.workers} worker{'' if row.workers == 1 else 's'}, {row.slots} slots"
    facts = [f"avg {duration(row.average_seconds)}", workers]
    facts += [] if row.limit is None else [f"limit {row.limit}"]
    facts += [] if row.stream is None else [f"stream {row.stream}"]
    facts += [] if row.is_known else ["never registered by a worker"]
    line: Pieces = (Piece(f" {row.name}", "strong"),)
    if row.pause is not None:
        line += (Piece("  "), Piece(_paused(row), "paused"))
    return (*line, Piece("   " + "   ".join(facts)))


def _paused(row: NameRow) -> str:
    pause = row.pause
    if pause is None:
        return ""
    because = f": {pause.reason}" if pause.reason else ""
    until = "" if pause.resumes_in is None else f", resumes in {age(pause.resumes_in)}"
    return f"PAUSED by {pause.by} {age(pause.seconds)} ago{because}{until}"


def _told(what: str, last: LastMessage | None, none: str) -> Pieces:
    if last is None:
        return (Piece(f" {what:<11}  {none}", "muted"),)
    word = what if last.state in what else f"{what} {last.state}"
    return (
        Piece(f" {word:<11} ", state_tone(last.state)),
        Piece(f" {age(last.seconds)} ago  "),
        Piece(last.key, "strong"),
        Piece(f"  {quoted(last.message)}"),
    )


def worst_state(row: NameRow) -> TaskState | None:
    """Return the state of a name that matters most; None for all of them."""
    if row.failed.value:
        return TaskState.FAILED
    if row.retry.value:
        return TaskState.RETRY
    return TaskState.READY if row.ready.value or row.scheduled.value else None


def worker_lines(workers: tuple[WorkerRow, ...], height: int) -> list[Pieces]:
    """Return the workers, as many as there is room for."""
    lines: list[Pieces] = [
        (Piece(f"{'WORKER':<24}{'PID':>8}{'BEAT':>8}{'RUN/SLOTS':>11}  NAMES", "header"),)
    ]
    if not workers:
        lines.append((Piece("no workers", "muted"),))
    for worker in workers[: max(0, height - 1)]:
        state = "" if worker.has_lease else "LEAVING " if worker.is_leaving else "DEAD "
        busy = f"{format_count(running_count(worker.running))}/{worker.slots}"
        text = (
            f"{worker.host[:23]:<24}{worker.pid:>8}{age(worker.heartbeat_seconds):>8}{busy:>11}  "
        )
        tone = "" if worker.has_lease else "critical"
        lines.append((Piece(text, tone), Piece(state, "critical"), Piece(", ".join(worker.names))))
    return lines


def chart_lines(overview: OverviewView, size: Size) -> list[Pieces]:
    """Return the attempts per minute of all names as an area, with its scale at the left."""
    width, height = size.width - 9, size.height - 2
    if width < _CHART_TOP or height < _CHART_TOP:
        return []
    columns = zip(*(view.row.done for view in overview.names), strict=False)
    totals = [sum(column) for column in columns]
    # A minute is drawn as wide as there is room for.
    repeat = max(1, width // max(1, len(totals)))
    area = chart([total for total in totals for _ in range(repeat)], width=width, height=height)
    top = max(totals, default=0)
    lines: list[Pieces] = [(Piece(f" done per minute, last {len(totals)} minutes", "header"),)]
    for number, line in enumerate(area):
        scale = f"{top:,}" if number == 0 else "0" if number == height - 1 else ""
        lines.append((Piece(f"{scale:>7} ", "muted"), Piece(line, "done")))
    return lines
