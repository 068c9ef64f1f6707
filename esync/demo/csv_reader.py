"""Customers from a CSV file: any header, one column is the key, everything else is a field."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from esync.demo.record import KEY_LIMIT
from esync.errors import TaskValueError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_DELIMITERS = ",;\t|"
_SIZE_LIMIT_BYTES = 100 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Customers:
    """What a CSV file holds."""

    key_column: str
    columns: tuple[str, ...]
    """Names of the fields, the key column not among them."""
    rows: dict[str, dict[str, str]]
    """Fields by key, in the order of the file."""


def read_customers(path: Path, *, key: str | None = None) -> Customers:
    """Read a CSV file, or raise TaskValueError with one line that says what is wrong where.

    `key` names the key column; without it, the first column whose values are all different is
    the key. The delimiter is the one of `, ; tab |` that the header uses most.
    """
    text = _read_text(path)
    header, numbered = _split(text, name=path.name)
    position = _find_key(header, numbered, key=key, name=path.name)
    columns = (*header[:position], *header[position + 1 :])
    rows: dict[str, dict[str, str]] = {}
    for number, row in numbered:
        row_key = _check_key(row[position], taken=rows, where=f"{path.name} line {number}")
        rows[row_key] = dict(zip(columns, (*row[:position], *row[position + 1 :]), strict=True))
    return Customers(key_column=header[position], columns=columns, rows=rows)


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > _SIZE_LIMIT_BYTES:
            raise TaskValueError(
                f"csv must be at most {_SIZE_LIMIT_BYTES} bytes, {path.name} is more"
            )
        content = path.read_bytes()
    except OSError as exc:
        msg = f"csv must be a file that can be read, got {str(path)!r}: {exc.strerror}"
        raise TaskValueError(msg) from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        byte = content[exc.start]
        msg = f"csv must be UTF-8, got byte 0x{byte:02X} in {path.name} line {line}"
        raise TaskValueError(msg) from None
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise TaskValueError(f"csv must not contain NUL, got one in {path.name} line {line}")
    return text


def _split(text: str, *, name: str) -> tuple[tuple[str, ...], list[tuple[int, list[str]]]]:
    """Return the header and the rows with their line numbers; blank lines are left out."""
    lines = _lines(text, name=name)
    first = next(lines, None)
    if first is None:
        raise TaskValueError(f"csv must have a header and at least one row, {name} is empty")
    header = _distinct(first[1])
    numbered = list(lines)
    if not numbered:
        raise TaskValueError(f"csv must have a header and at least one row, {name} has no row")
    for number, row in numbered:
        if len(row) != len(header):
            raise TaskValueError(
                f"{name} line {number} must have {len(header)} fields like its header,"
                f" got {len(row)}"
            )
    return header, numbered


def _lines(text: str, *, name: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        for row in reader:
            if any(row):
                yield reader.line_num, row
    except csv.Error as exc:
        raise TaskValueError(f"{name} line {reader.line_num} must be CSV: {exc}") from None


def _delimiter(text: str) -> str:
    header = text.lstrip("\r\n").partition("\n")[0]
    return max(_DELIMITERS, key=header.count)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return a name for every column: none is empty, none occurs twice."""
    taken: list[str] = []
    for position, name in enumerate(names, start=1):
        stem = name.strip() or f"column {position}"
        choice, count = stem, 1
        while choice in taken:
            count += 1
            choice = f"{stem} {count}"
        taken.append(choice)
    return tuple(taken)


def _find_key(
    header: tuple[str, ...],
    numbered: list[tuple[int, list[str]]],
    *,
    key: str | None,
    name: str,
) -> int:
    if key is not None:
        if key not in header:
            columns = ", ".join(map(repr, header[:20]))
            raise TaskValueError(f"key must be a column of {name} ({columns}), got {key!r}")
        return header.index(key)
    for position in range(len(header)):
        values = {row[position] for _, row in numbered}
        if len(values) == len(numbered) and "" not in values:
            return position
    twice = Counter(row[0] for _, row in numbered).most_common(1)[0][0]
    raise TaskValueError(
        f"{name} must have a column whose values are all different, none has"
        f" (the first has {twice[:KEY_LIMIT]!r} twice or empty)"
    )


def _check_key(key: str, *, taken: dict[str, dict[str, str]], where: str) -> str:
    if not key:
        raise TaskValueError(f"{where} must have a key, it is empty")
    if len(key) > KEY_LIMIT:
        raise TaskValueError(
            f"{where} must have a key of at most {KEY_LIMIT} characters, got {len(key)}"
        )
    if key in taken:
        raise TaskValueError(f"{where} must have a key of its own, {key!r} occurs twice")
    return key
