"""How the console writes numbers, times and other people's text; pieces of text in a tone.

A piece is plain text and the tone it is shown in. Tones are words; what they look like is said
in console.tcss. Nothing here is ever parsed as markup.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len, set_cell_size

from esync.snapshot import Count, Precision
from esync.task import TaskState
from esync.text import age, visible_block, visible_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


class Piece(NamedTuple):
    """Text in a tone; '' is the plain tone."""

    text: str
    tone: str = ""


Pieces = tuple[Piece, ...]
NOTHING = Piece("")
UNREAD = "?"
"""Stands for what there was no time to read."""

TONES = (
    "muted", "strong", "key", "ready", "scheduled", "running", "retry", "failed", "cancelled",
    "done", "critical", "warning", "paused", "lost", "cursor", "mark", "header", "gone", "tab",
)  # fmt: skip
"""Every tone there is; console.tcss styles each as `.t-<tone>`."""

STATE_TONES = {
    TaskState.READY: "ready",
    TaskState.IN_PROGRESS: "running",
    TaskState.RETRY: "retry",
    TaskState.DONE: "done",
    TaskState.FAILED: "failed",
    TaskState.CANCELLED: "cancelled",
}
STATE_GLYPHS = {
    TaskState.READY: "○",
    TaskState.IN_PROGRESS: "▶",
    TaskState.RETRY: "↻",
    TaskState.DONE: "✓",
    TaskState.FAILED: "✗",
    TaskState.CANCELLED: "–",  # noqa: RUF001 - the glyph of a cancelled task
}

_THOUSAND, _MILLION, _BILLION = 1_000, 1_000_000, 1_000_000_000
_MARK_CATEGORIES = ("Mn", "Me")
_MARKS_IN_A_ROW = 4
"""Combining characters that real scripts put on one letter."""


def shown(text: str, *, limit: int = 500) -> str:
    """Return one harmless line of text from elsewhere."""
    return _tame_marks(visible_line(text, limit=limit))


def shown_lines(text: str, *, limit: int = 64_000) -> list[str]:
    """Return harmless lines of text from elsewhere."""
    return _tame_marks(visible_block(text, limit=limit)).split("\n")


def quoted(text: str) -> str:
    """Return text from elsewhere in quotes, or a dash when there is none."""
    return f'"{text}"' if text else "(no message)"


def format_count(count: Count) -> str:
    """Return a count that never looks more precise than it is: 1,204  ~998k  10k+  ?."""
    if count.precision is Precision.UNREAD:
        return UNREAD
    if count.precision is Precision.CAPPED:
        return f"{_compact(count.value)}+"
    if count.precision is Precision.ESTIMATE:
        return f"~{_compact(count.value)}"
    return f"{count.value:,}" if count.value < _MILLION else _compact(count.value)


def running_count(running: int | None) -> Count:
    """Return how many tasks run, as a count."""
    return Count(0, Precision.UNREAD) if running is None else Count(running)


def add_counts(counts: Iterable[Count]) -> Count:
    """Return the sum of counts, as trustworthy as the least trustworthy of them."""
    listed = tuple(counts)
    total = sum(count.value for count in listed)
    found = {count.precision for count in listed}
    for precision in (Precision.UNREAD, Precision.ESTIMATE, Precision.CAPPED):
        if precision in found:
            return Count(total, precision)
    return Count(total)


def duration(seconds: float | None) -> str:
    """Return how long something took: 12ms, 340ms, 2.1s, 14m02s, or a dash when unknown."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    return f"{seconds:.1f}s" if seconds < 60 else age(seconds)  # noqa: PLR2004 - a minute


def since(moment: datetime | None, now: datetime | None) -> str:
    """Return the age of a moment, or a dash when one of them is unknown."""
    if moment is None or now is None:
        return "-"
    return age((now - moment).total_seconds())


def clock(moment: datetime | None) -> str:
    """Return a moment as a time of the day, in UTC."""
    return "-" if moment is None else f"{moment:%H:%M:%S}Z"


def stamp(moment: datetime | None) -> str:
    """Return a moment with its date, in UTC."""
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def state_tone(state: str) -> str:
    """Return the tone of a state; plain for a word that is none of ours."""
    return STATE_TONES.get(state, "")  # type: ignore[call-overload,no-any-return]


def state_glyph(state: str) -> str:
    """Return the glyph of a state; a question mark for a word that is none of ours."""
    return STATE_GLYPHS.get(state, "?")  # type: ignore[call-overload,no-any-return]


def width_of(pieces: Pieces) -> int:
    """Return the cells that pieces take."""
    return sum(cell_len(piece.text) for piece in pieces)


def fit(pieces: Pieces, width: int) -> Pieces:
    """Return pieces cut or filled to exactly so many cells; a cut shows an ellipsis."""
    if width <= 0:
        return ()
    taken = width_of(pieces)
    if taken <= width:
        return (*pieces, Piece(" " * (width - taken)))
    kept: list[Piece] = []
    left = width - 1
    for piece in pieces:
        cells = cell_len(piece.text)
        if cells >= left:
            return (*kept, Piece(set_cell_size(piece.text, left) + "…", piece.tone))
        kept.append(piece)
        left -= cells
    return (*kept, Piece("…"))


def align_right(pieces: Pieces, width: int) -> Pieces:
    """Return pieces pushed to the right end of so many cells."""
    return fit((Piece(" " * max(0, width - width_of(pieces))), *pieces), width)


def spread(left: Pieces, right: Pieces, width: int) -> Pieces:
    """Return one line with pieces at both ends; the left ones are cut when there is no room."""
    room = width - width_of(right)
    return (*fit(left, room - 1), Piece(" "), *right) if room > 1 else fit(right, width)


def wrap(pieces: Pieces, width: int) -> list[Pieces]:
    """Return a line as as many lines as it takes at so many cells; the first tone goes on."""
    text = "".join(piece.text for piece in pieces)
    tone = pieces[0].tone if pieces else ""
    if width < 1 or cell_len(text) <= width:
        return [pieces]
    lines: list[Pieces] = []
    start = 0
    while start < len(text):
        end = _line_end(text, start, width=width)
        line = text[start:end]
        lines.append((Piece(line.rstrip(" ") if line.strip() else line, tone),))
        start = end
    return lines


def _line_end(text: str, start: int, *, width: int) -> int:
    """Return where a line ends that fits: after a space if there is one in its last third."""
    cells = 0
    for end in range(start, len(text)):
        cells += cell_len(text[end])
        if cells > width:
            break
    else:
        return len(text)
    end = max(start + 1, end)
    space = text.rfind(" ", start + 2 * (end - start) // 3, end + 1)
    return space + 1 if space > start else end


def _compact(value: int) -> str:
    """Return at most three digits and a unit, rounded down so that `10k+` is true."""
    for unit, name in ((_BILLION, "G"), (_MILLION, "M"), (_THOUSAND, "k")):
        if value >= unit:
            whole, tenths = value // unit, value % unit * 10 // unit
            return f"{whole}.{tenths}{name}" if whole < 100 and tenths else f"{whole}{name}"  # noqa: PLR2004
    return str(value)


def _tame_marks(text: str) -> str:
    """Replace combining characters beyond what a letter bears: they would draw over other lines."""
    if text.isascii():
        return text
    tamed, marks = [], 0
    for char in text:
        marks = marks + 1 if unicodedata.category(char) in _MARK_CATEGORIES else 0
        if marks <= _MARKS_IN_A_ROW:
            tamed.append(char)
        elif marks == _MARKS_IN_A_ROW + 1:
            tamed.append("\N{REPLACEMENT CHARACTER}")
    return "".join(tamed)
