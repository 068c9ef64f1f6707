"""What commands print: lines, tables and JSON, with nothing in them that acts on a terminal."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from io import StringIO
from typing import TYPE_CHECKING, Any, TextIO
from uuid import UUID

from esync.errors import EsyncError
from esync.snapshot import Precision
from esync.text import age, visible_block, visible_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from esync.snapshot import Count

UNREAD = "?"
"""Stands for what there was no time to read."""

BLOCK_LIMIT = 10_000_000
"""Characters of a text that are printed."""

_PIPE_WIDTH = 10_000
"""Columns when no terminal limits them: programs that read on get whole values."""

_GAP = 2
_LEAST_TEXT = 12
"""Columns that a text keeps while there is something else to leave out."""


def write(stream: TextIO, text: str) -> OSError | None:
    """Write to a stream and flush it; after an error, which is returned, all goes nowhere.

    Whoever read a pipe (`| head`) has seen enough, and Python would flush once more at its end.
    """
    try:
        stream.write(text)
        stream.flush()
    except OSError as exc:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return exc
    return None


def warn(text: str) -> None:
    """Print one line on stderr; that nobody reads it stops nothing."""
    write(sys.stderr, f"esync: {visible_line(text, limit=4000)}\n")


def say(text: str) -> None:
    """Print one line."""
    _write(visible_line(text, limit=100_000) + "\n")


def say_block(text: str) -> None:
    """Print lines as they are, except for what would act on a terminal."""
    _write(visible_block(text, limit=BLOCK_LIMIT).rstrip("\n") + "\n")


def say_json(value: object) -> None:
    """Print one JSON document in ASCII: on one line, unless a person looks at it."""
    indent = 2 if sys.stdout.isatty() else None
    _write(json.dumps(to_json(value), indent=indent, ensure_ascii=True, allow_nan=False) + "\n")


def say_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, in a terminal as wide as that.

    A header that starts with '>' has its column right-aligned, and never cut. Where there is too
    little room, columns whose header starts with '~' are left out, the last first; then texts are
    cut.
    """
    # rich takes longer to import than everything else here: JSON and help do without it.
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.table import Table  # noqa: PLC0415 - see above
    from rich.text import Text  # noqa: PLC0415 - see above

    cells = [[visible_line(cell) for cell in row] for row in rows]
    room = Console().width if sys.stdout.isatty() else _PIPE_WIDTH
    widths = _fit(headers, cells, room)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for number, width in widths.items():
        header = headers[number].lstrip("~")
        justify = "right" if header.startswith(">") else "left"
        table.add_column(
            header.lstrip(">"),
            justify=justify,  # type: ignore[arg-type] # a literal that mypy widens to str
            no_wrap=True,
            overflow="ellipsis",
            width=width,
        )
    for row in cells:
        table.add_row(*(Text(row[number], overflow="ellipsis") for number in widths))
    whole = sum(widths.values()) + _GAP * len(widths)
    lines = StringIO()  # not stdout, which rich would flush
    console = Console(
        file=lines,
        force_terminal=sys.stdout.isatty(),
        highlight=False,
        markup=False,
        emoji=False,
        width=max(room, whole),
    )
    console.print(table)
    _write("".join(line.rstrip() + "\n" for line in lines.getvalue().splitlines()))


def _fit(headers: Sequence[str], cells: Sequence[Sequence[str]], room: int) -> dict[int, int]:
    """Return the columns that are shown, and how wide each is."""
    from rich.cells import cell_len  # noqa: PLC0415 - see above

    wanted = [
        max(map(cell_len, column))
        for column in zip([header.lstrip("~>") for header in headers], *cells, strict=True)
    ]
    widths = {
        number: width if ">" in headers[number] else min(width, _LEAST_TEXT)
        for number, width in enumerate(wanted)
    }

    def left() -> int:
        return room - sum(widths.values()) - _GAP * (len(widths) - 1)

    for number in reversed(range(len(headers))):
        if left() < 0 and headers[number].startswith("~"):
            del widths[number]
    for number, width in widths.items():
        widths[number] = width + max(0, min(wanted[number] - width, left()))
    return widths


def to_json(value: object) -> Any:  # noqa: C901, PLR0911 - one line per kind of value
    """Return what json.dumps can write: dataclasses and named tuples become objects."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)
        case UUID():
            return str(value)
        case datetime():
            return value.astimezone(UTC).isoformat()
        case dict():
            return {str(name): to_json(item) for name, item in value.items()}
        case tuple() if hasattr(value, "_asdict"):
            return to_json(value._asdict())
        case list() | tuple():
            return [to_json(item) for item in value]
        case _ if is_dataclass(value):
            return {item.name: to_json(getattr(value, item.name)) for item in fields(value)}
        case _:
            raise TypeError(type(value).__name__)


def count_text(count: Count) -> str:
    """Return '1,204', '10,000+', '~998,000', or '?' for what there was no time to count."""
    if count.precision is Precision.UNREAD:
        return UNREAD
    before, after = {"capped": ("", "+"), "estimate": ("~", "")}.get(count.precision, ("", ""))
    return f"{before}{count.value:,}{after}"


def running_text(running: int | None) -> str:
    """Return how many tasks run."""
    return UNREAD if running is None else f"{running:,}"


def age_text(seconds: float | None) -> str:
    """Return '14m02s'; '-' for None."""
    return "-" if seconds is None else age(seconds)


def time_text(moment: datetime | None) -> str:
    """Return a moment in UTC to the second; '-' for None."""
    return "-" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def say_pairs(pairs: Mapping[str, str]) -> None:
    """Print 'name: value' lines, the values in one column."""
    width = max(len(name) for name in pairs) + 1
    for name, value in pairs.items():
        say(f"{name + ':':<{width}} {value}")


def _write(text: str) -> None:
    error = write(sys.stdout, text)
    if error is not None and not isinstance(error, BrokenPipeError):
        msg = f"the output cannot be written: {error.strerror}"
        raise EsyncError(msg) from error
