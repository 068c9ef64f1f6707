r"""The filter line: name:a,b state:failed key:C-1 err:"HTTP 429" since:1h id:UUID, a key's start.

A term is given once; `,` parts the values of name, state and id. In double quotes spaces, commas,
colons and stars mean themselves; `\"` is a quote, `\\` a backslash, and `\u{202e}` a
character that would act on the terminal or hide there.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from esync.errors import EsyncError
from esync.snapshot import Filter
from esync.task import TaskState
from esync_tui.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_TERM = re.compile(rf'(?:{_QUOTED}|[^\s"])+(?!\S)', re.DOTALL)
_WORD = re.compile(r"([a-z]+):")
_PIECE = re.compile(rf'{_QUOTED}|,|[^",]+', re.DOTALL)
_ESCAPE = re.compile(r'\\(?:(?P<itself>["\\])|u\{(?P<code>[0-9a-fA-F]{1,6})\})')
_UNSTORED = re.compile(r"[\x00\ud800-\udfff]")
_NEEDS_QUOTES = re.compile(r'[\s:,"*]')
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(\d{1,9}(?:\.\d+)?)([smhd])", re.ASCII)
_STATES = {state.value.replace(" ", "").lower(): state for state in TaskState} | {
    "running": TaskState.IN_PROGRESS,
    "inprogress": TaskState.IN_PROGRESS,
}
WORDS = ("name", "state", "key", "err", "since", "id")
_START = "a key's start"
_ONCE = 'name:a,b asks for either, and quotes keep words together: err:"HTTP 429"'


class FilterError(EsyncError):
    """A filter line that cannot be read; says which term and why."""


class _Value(NamedTuple):
    """What a term says, without its quotes."""

    parts: tuple[str, ...]
    """What its commas part; those in quotes do not."""
    is_start: bool
    """Whether its last character is a star that is not in quotes."""

    @property
    def whole(self) -> str:
        return ",".join(self.parts)


def parse_filter(text: str) -> Filter:
    """Return the filter that a line asks for, or raise FilterError."""
    where, given = Filter(), set[str]()
    for at, term in _terms(text):
        try:
            where, what = _add(where, term)
            _check_once(what, given)
        except ValueError as exc:
            msg = f"{exc} (at {at + 1})"
            raise FilterError(msg) from None
        given.add(what)
    return where


def format_filter(where: Filter) -> str:
    """Return the line that asks for a filter; nothing in it acts on a terminal or hides there."""
    terms = [
        *([f"name:{','.join(_quote(name) for name in where.names)}"] if where.names else []),
        *([f"state:{','.join(map(_state_word, where.states))}"] if where.states else []),
        *([f"key:{_quote(where.key)}"] if where.key is not None else []),
        *([_quote(where.key_prefix)] if where.key_prefix is not None else []),
        *([f"err:{_quote(where.error)}"] if where.error is not None else []),
        *([f"since:{_span(where.since)}"] if where.since is not None else []),
        *([f"id:{','.join(map(str, where.ids))}"] if where.ids else []),
    ]
    return " ".join(terms)


def _terms(text: str) -> Iterator[tuple[int, str]]:
    """Yield each term and where it begins."""
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        term = _TERM.match(text, at)
        if term is None:
            msg = f'a " is not closed (at {at + 1})'
            raise FilterError(msg)
        yield at, term[0]
        at = term.end()


def _add(where: Filter, term: str) -> tuple[Filter, str]:
    """Return the filter with one more term, and which term that is."""
    word = _WORD.match(term)
    if word is None:
        return _add_start(where, _read(term))
    name, value = word[1], _read(term[word.end() :])
    if name not in _READERS:
        msg = f"{name}: is no term; there are {', '.join(WORDS)}"
        raise ValueError(msg)
    if not all(value.parts):
        msg = f"{name}: must not be empty"
        raise ValueError(msg)
    if value.is_start:
        if name != "key":
            msg = f"{name}: only a key may end with *; in quotes it means itself"
            raise ValueError(msg)
        return _add_start(where, value)
    return _READERS[name](where, value), name


def _check_once(what: str, given: set[str]) -> None:
    if what in given:
        msg = f"{what}: is given twice; {_ONCE}"
        raise ValueError(msg)


def _read(text: str) -> _Value:
    """Take the quotes off, and the escapes in them."""
    pieces, parts = _PIECE.findall(text), [""]
    for piece in pieces:
        if piece == ",":
            parts.append("")
        elif piece.startswith('"'):
            parts[-1] += _ESCAPE.sub(_unescape, piece[1:-1])
        else:
            parts[-1] += piece
    if _UNSTORED.search(",".join(parts)):
        msg = f"{text}: holds a character that PostgreSQL does not store"
        raise ValueError(msg)
    is_start = bool(pieces) and not pieces[-1].startswith('"') and pieces[-1].endswith("*")
    return _Value(tuple(parts), is_start)


def _unescape(escape: re.Match[str]) -> str:
    if escape["itself"]:
        return escape["itself"]
    code = int(escape["code"], 16)
    return chr(code) if code <= sys.maxunicode else "\x00"  # which is refused


def _add_start(where: Filter, value: _Value) -> tuple[Filter, str]:
    start = value.whole[:-1] if value.is_start else value.whole
    if not start:
        msg = f"{_START}: must not be empty"
        raise ValueError(msg)
    return replace(where, key_prefix=start), _START


def _add_states(where: Filter, value: _Value) -> Filter:
    states = []
    for word in value.parts:
        state = _STATES.get(re.sub(r"[ _-]", "", word).lower())
        if state is None:
            msg = f"state: is one of {', '.join(s.value for s in TaskState)}, got {word!r}"
            raise ValueError(msg)
        states.append(state)
    return replace(where, states=tuple(dict.fromkeys(states)))


def _add_since(where: Filter, value: _Value) -> Filter:
    found = _SPAN.fullmatch(value.whole)
    if found is None:
        msg = f"since: is a number and s, m, h or d, got {value.whole!r}"
        raise ValueError(msg)
    return replace(where, since=float(found[1]) * _UNITS[found[2]])


def _add_ids(where: Filter, value: _Value) -> Filter:
    try:
        return replace(where, ids=tuple(UUID(part) for part in value.parts))
    except ValueError:
        msg = f"id: is a UUID, got {value.whole!r}"
        raise ValueError(msg) from None


_READERS: dict[str, Callable[[Filter, _Value], Filter]] = {
    "name": lambda where, value: replace(where, names=value.parts),
    "state": _add_states,
    "key": lambda where, value: replace(where, key=value.whole),
    "err": lambda where, value: replace(where, error=value.whole),
    "since": _add_since,
    "id": _add_ids,
}


def _state_word(state: TaskState) -> str:
    return state.value.replace(" ", "-").lower()


def _quote(text: str) -> str:
    """Return text as a term's value, in quotes and with escapes where it needs them."""
    is_harmless = shown(text, limit=len(text)) == text
    if is_harmless and not _NEEDS_QUOTES.search(text):
        return text
    line = text.replace("\\", "\\\\").replace('"', '\\"')
    if not is_harmless:
        line = "".join(char if _is_plain(char) else _escape(char) for char in line)
    return f'"{line}"'


def _is_plain(char: str) -> bool:
    """Whether a character can stand anywhere: no mark that draws over others, either."""
    return shown(char) == char and not unicodedata.category(char).startswith("M")


def _escape(char: str) -> str:
    return f"\\u{{{ord(char):x}}}"


def _span(seconds: float) -> str:
    for unit in ("d", "h", "m"):
        if seconds >= _UNITS[unit] and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{seconds!r}".removesuffix(".0") + "s"
