"""The filter line: name:a,b state:failed key:C-1 err:"HTTP 429" since:1h id:UUID, a key's start."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from esync.errors import EsyncError
from esync.snapshot import Filter
from esync.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Callable

_TERM = re.compile(r'(?:(?P<word>[a-z]+):)?(?P<value>"[^"]*"|\S+)')
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(\d{1,9})([smhd])")
_STATES = {state.value.replace(" ", "").lower(): state for state in TaskState} | {
    "running": TaskState.IN_PROGRESS,
    "inprogress": TaskState.IN_PROGRESS,
}
WORDS = ("name", "state", "key", "err", "since", "id")


class FilterError(EsyncError):
    """A filter line that cannot be read; says which term and why."""


def parse_filter(text: str) -> Filter:
    """Return the filter that a line asks for, or raise FilterError."""
    where = Filter()
    for term in _TERM.finditer(text):
        word, value = term["word"], term["value"]
        try:
            where = _add(where, word, value)
        except ValueError as exc:
            msg = f"{exc} (at {term.start() + 1})"
            raise FilterError(msg) from None
    return where


def format_filter(where: Filter) -> str:
    """Return the line that asks for a filter."""
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


def _add(where: Filter, word: str | None, value: str) -> Filter:
    bare = value.strip('"')
    if word is None:
        return replace(where, key_prefix=bare.rstrip("*"))
    if word not in _READERS:
        msg = f"{word}: is no term; there are {', '.join(WORDS)}"
        raise ValueError(msg)
    if not bare:
        msg = f"{word}: must not be empty"
        raise ValueError(msg)
    return _READERS[word](where, bare)


def _add_key(where: Filter, value: str) -> Filter:
    if value.endswith("*"):
        return replace(where, key_prefix=value[:-1])
    return replace(where, key=value)


def _add_states(where: Filter, value: str) -> Filter:
    states = []
    for word in value.split(","):
        state = _STATES.get(re.sub(r"[ _-]", "", word).lower())
        if state is None:
            msg = f"state: is one of {', '.join(s.value for s in TaskState)}, got {word!r}"
            raise ValueError(msg)
        states.append(state)
    return replace(where, states=tuple(dict.fromkeys(states)))


def _add_since(where: Filter, value: str) -> Filter:
    found = _SPAN.fullmatch(value)
    if found is None:
        msg = f"since: is a number and s, m, h or d, got {value!r}"
        raise ValueError(msg)
    return replace(where, since=int(found[1]) * _UNITS[found[2]])


def _add_ids(where: Filter, value: str) -> Filter:
    try:
        return replace(where, ids=tuple(UUID(part) for part in value.split(",")))
    except ValueError:
        msg = f"id: is a UUID, got {value!r}"
        raise ValueError(msg) from None


_READERS: dict[str, Callable[[Filter, str], Filter]] = {
    "name": lambda where, value: replace(where, names=tuple(value.split(","))),
    "state": _add_states,
    "key": _add_key,
    "err": lambda where, value: replace(where, error=value),
    "since": _add_since,
    "id": _add_ids,
}


def _state_word(state: TaskState) -> str:
    return state.value.replace(" ", "-").lower()


def _quote(text: str) -> str:
    return f'"{text}"' if re.search(r"[\s:]", text) else text


def _span(seconds: float) -> str:
    for unit in ("d", "h", "m"):
        if seconds >= _UNITS[unit] and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{seconds:.0f}s"
