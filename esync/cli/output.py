"""What commands print: lines, tables and JSON, with nothing in them that acts on a terminal."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from esync.errors import EsyncError
from esync.snapshot import Precision
from esync.text import age, visible_block, visible_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from esync.snapshot import Count

UNREAD = "?"
"""Stands for what there was no time to read."""

_PIPE_WIDTH = 10_000
"""Columns when no terminal limits them: programs that read on get whole values."""


def say(text: str) -> None:
    """Print one line."""
    _write(visible_line(text, limit=100_000) + "\n")


def say_block(text: str) -> None:
    """Print lines as they are, except for what would act on a terminal."""
    _write(visible_block(text, limit=10_000_000).rstrip("\n") + "\n")


def say_json(value: object) -> None:
    """Print one JSON document in ASCII: on one line, unless a person looks at it."""
    indent = 2 if sys.stdout.isatty() else None
    _write(json.dumps(to_json(value), indent=indent, ensure_ascii=True, allow_nan=False) + "\n")


def say_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; a header that starts with '>' has its column right-aligned."""
    # rich takes longer to import than everything else here: JSON and help do without it.
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.table import Table  # noqa: PLC0415 - see above
    from rich.text import Text  # noqa: PLC0415 - see above

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for header in headers:
        justify = "right" if header.startswith(">") else "left"
        table.add_column(
            header.lstrip(">"),
            justify=justify,  # type: ignore[arg-type] # a literal that mypy widens to str
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        table.add_row(*(Text(visible_line(cell), overflow="ellipsis") for cell in row))
    is_terminal = sys.stdout.isatty()
    console = Console(
        highlight=False, markup=False, emoji=False, width=None if is_terminal else _PIPE_WIDTH
    )
    with console.capture() as capture:
        console.print(table)
    _write("".join(line.rstrip() + "\n" for line in capture.get().splitlines()))


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
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as exc:
        # Python flushes once more at its end: let that go nowhere instead of raising again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(exc, BrokenPipeError):  # whoever read (`| head`) has seen enough
            msg = f"the output cannot be written: {exc.strerror}"
            raise EsyncError(msg) from exc
