"""The lines around the lists: where one is, how the queue is, what is wrong, which keys help."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from esync.problems import Severity
from esync.snapshot import rate_per_minute
from esync_tui.text import (
    Piece,
    Pieces,
    add_counts,
    clock,
    duration,
    fit,
    format_count,
    running_count,
    spread,
    width_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esync_tui.keys import Key
    from esync_tui.state import State
    from esync_tui.views import OverviewView

TABS = (("overview", "1 Overview"), ("tasks", "2 Tasks"))
_SLOW = 0.5
"""Seconds of reading from which on the time is shown as a warning."""


def top_line(state: State, width: int) -> Pieces:
    """Return the name of the place at the left, how fresh the picture is at the right."""
    left: Pieces = (Piece(" esync  ", "strong"), Piece(state.title, "key"))
    if state.engine:
        left += (Piece(f"  {state.engine}", "running"),)
    return spread(left, (*_freshness(state), Piece(" ")), width)


def totals_line(state: State, width: int) -> Pieces:
    """Return the sums over all task names."""
    overview = state.picture.overview
    if overview is None:
        return ()
    line: Pieces = (Piece(" "),)
    for word, number, tone in _totals(overview):
        line += (Piece(f"{word} ", "muted"), Piece(f"{number}   ", tone))
    if state.is_lost:
        line += (Piece(f"stale, of {clock(overview.at)}", "lost"),)
    return fit(line, width)


def problems_line(state: State, width: int) -> Pieces:
    """Return what is wrong, worst first, as far as there is room; `i` lists the rest."""
    if state.is_lost:
        return _lost_line(state, width)
    texts = problem_texts(state)
    if not texts:
        calm = "" if state.picture.overview is None else " no problems"
        return (Piece(calm, "muted"),)
    line: Pieces = ()
    for number, text in enumerate(texts):
        rest = len(texts) - number
        more: Pieces = (Piece(f"  +{rest} more (i)", "strong"),) if rest else ()
        piece = (Piece(" ! ", text.tone), text)
        if number and width_of(line + piece) > width - 16:
            return fit((*line, *more), width)
        line += piece
    return fit(line, width)


def problem_texts(state: State) -> list[Piece]:
    """Return every problem in its tone, worst first."""
    found = [Piece(f"engine: {state.engine_error}", "critical")] if state.engine_error else []
    if state.picture.overview is not None:
        for problem in state.picture.overview.problems:
            is_critical = problem.severity is Severity.CRITICAL
            found.append(Piece(problem.text, "critical" if is_critical else "warning"))
    return found


def tabs_line(current: str, width: int) -> Pieces:
    """Return the screens, the current one in brackets."""
    line: Pieces = ()
    for mode, label in TABS:
        line += (
            (Piece(f" [{label}]", "tab"),) if mode == current else (Piece(f"  {label} ", "muted"),)
        )
    return fit(line, width)


def notice_line(state: State, width: int) -> Pieces:
    """Return what the last action did, or what is under way, on the rule above the hints."""
    if state.busy is not None:
        return _on_rule(f"{state.busy} …", "running", width)
    if state.notice:
        return _on_rule(state.notice, state.notice_tone or "strong", width)
    return (Piece(" " + "─" * max(0, width - 2), "muted"),)


def hints_line(keys: Sequence[Key], state: State, width: int) -> Pieces:
    """Return the keys, the most important ones first, as many as fit; help is never left out."""
    last: Pieces = (
        Piece(" ?", "key"),
        Piece(" help "),
    )
    hinted = [key for key in keys if key.is_hinted and key.id != "help"]
    if state.is_lost:
        line: Pieces = (Piece(" actions are off while disconnected  ", "lost"),)
        line += (Piece(" r", "key"), Piece(" retry now "), Piece(" q", "key"), Piece(" quit "))
        return spread(line, last, width)
    line = ()
    for key in hinted:
        pair = (Piece(f" {key.shown}", "key"), Piece(f" {key.label} "))
        if width_of(line + pair) + width_of(last) > width:
            break
        line += pair
    return fit((*line, *last), width)


def span(seconds: float) -> str:
    """Return mm:ss, or hh:mm:ss from an hour on."""
    whole = max(0, int(seconds))
    minutes, hours = whole // 60 % 60, whole // 3600
    short = f"{minutes:02}:{whole % 60:02}"
    return f"{hours:02}:{short}" if hours else short


def _freshness(state: State) -> Pieces:
    picture = state.picture
    if state.is_lost:
        wait = picture.signal.next_at - state.now
        retry = f"retry in {wait:.0f}s" if wait >= 1 else "trying"
        return (Piece(f"NO SIGNAL {span(state.silent_seconds)}", "critical"), Piece(f"  {retry}"))
    if picture.overview is None:
        return (Piece("connecting …", "muted"),)
    took = picture.overview.took_seconds
    at = picture.overview.at + timedelta(seconds=state.silent_seconds)
    return (
        _liveliness(state),
        Piece("  q "),
        Piece(duration(took), "warning" if took > _SLOW else ""),
        Piece(f"  {clock(at)}"),
    )


def _liveliness(state: State) -> Piece:
    if state.frozen_at is None:
        return Piece(f"LIVE {state.picture.signal.interval:.0f}s", "done")
    arrived = f" +{state.arrived}" if state.arrived else ""
    return Piece(f"FROZEN {span(state.now - state.frozen_at)}{arrived}", "paused")


def _totals(overview: OverviewView) -> list[tuple[str, str, str]]:
    rows = [view.row for view in overview.names]
    running = format_count(add_counts(running_count(row.running) for row in rows))
    slots = sum(worker.slots for worker in overview.workers if worker.has_lease)
    rate = sum(rate_per_minute(row.done, second=overview.at.second) for row in rows)
    failed = add_counts(row.failed for row in rows)
    return [
        ("READY", format_count(add_counts(row.ready for row in rows)), "ready"),
        ("RUN", f"{running}/{slots:,}", "running"),
        ("RETRY", format_count(add_counts(row.retry for row in rows)), "retry"),
        ("FAILED", format_count(failed), "failed" if failed.value else ""),
        ("SCHED", format_count(add_counts(row.scheduled for row in rows)), "scheduled"),
        ("DONE/m", f"{rate:,}", "done"),
    ]


def _lost_line(state: State, width: int) -> Pieces:
    signal = state.picture.signal
    error = signal.error or "the last read has not come back"
    left: Pieces = (Piece(" x ", "critical"), Piece(error, "critical"))
    tries = f"try {signal.failures}   " if signal.failures else ""
    right: Pieces = (Piece(f"{tries}"), Piece("r", "key"), Piece(" retry now "))
    return spread(left, right, width)


def _on_rule(text: str, tone: str, width: int) -> Pieces:
    line = fit((Piece(" "), Piece(text, tone)), width - 1) if width > 1 else ()
    used = min(width - 1, width_of((Piece(" "), Piece(text))))
    if used > width - 4:
        return line
    return (Piece(" "), Piece(text, tone), Piece(" " + "─" * (width - used - 2), "muted"))
