"""Task data as JSON text: checked on the way in, decoded row by row on the way out."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from esync.errors import TaskValueError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DATA_LIMIT_BYTES = 1024 * 1024
DEPTH_LIMIT = 64
"""Nesting that every JSON reader copes with; PostgreSQL stores far more than Python can read."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_PLAIN_INT = 2**63
_INT_LIMIT = 10**4300
"""Python refuses to read integers of more digits than this (sys.int_info)."""


def encode_data(data: Mapping[str, Any], *, limit_bytes: int = DATA_LIMIT_BYTES) -> str:
    """Return the JSON text of an object, or raise TaskValueError naming the path and the rule."""
    if not isinstance(data, dict):
        raise TaskValueError(f"data must be an object (dict), got {type(data).__name__}")
    if not _is_plain(data):
        _check(data)
    text = _ENCODER.encode(data)
    size_bytes = len(text.encode())
    if size_bytes > limit_bytes:
        raise TaskValueError(f"data must be at most {limit_bytes} bytes, got {size_bytes} bytes")
    return text


def decode_data(text: str) -> dict[str, Any]:
    """Return the object that a row holds, or raise ValueError saying why it cannot be read."""
    if text == "{}":  # most often: the key says it all
        return {}
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as exc:
        msg = f"undecodable data: {type(exc).__name__}: {exc}"
        raise ValueError(msg) from exc
    if not isinstance(data, dict):
        msg = f"undecodable data: an object was expected, got {type(data).__name__}"
        raise ValueError(msg)  # noqa: TRY004 - one class for everything that cannot be read
    return data


def parse_data(text: str) -> dict[str, Any]:
    """Return the object a person typed or piped in, or raise TaskValueError.

    Duplicate names, which JSON readers merge silently, are refused.
    """
    try:
        data = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as exc:
        if isinstance(exc, TaskValueError):
            raise
        msg = f"data must be JSON: {exc}"
        raise TaskValueError(msg) from None
    if not isinstance(data, dict):
        raise TaskValueError(f"data must be an object ({{...}}), got {type(data).__name__}")
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise TaskValueError(f"data must name each field once, got {double!r} twice")
    return data


def _is_plain(data: dict[str, Any]) -> bool:
    """Whether a payload is flat and of values that are certainly right, as most are."""
    for name, value in data.items():
        # What is printable holds neither NUL nor lone surrogates.
        if type(name) is not str or not name.isprintable():
            return False
        kind = type(value)
        if kind is str:
            if not value.isprintable():
                return False
        elif kind is int:
            if not -_PLAIN_INT < value < _PLAIN_INT:
                return False
        elif value is not None and kind is not bool:
            return False
    return True


def _check(data: dict[str, Any]) -> None:
    """Walk the value without recursion, so that its depth cannot hurt us."""
    pending: list[tuple[str, Any, int]] = [("data", data, 1)]
    while pending:
        path, value, depth = pending.pop()
        if depth > DEPTH_LIMIT:
            raise TaskValueError(
                f"data must nest at most {DEPTH_LIMIT} levels, got more at {path:.200}"
            )
        if isinstance(value, dict | list | tuple):
            pending += [(where, item, depth + 1) for where, item in _items(path, value)]
        else:
            _check_leaf(path, value)


def _items(
    path: str, value: dict[Any, Any] | list[Any] | tuple[Any, ...]
) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield from ((f"{path}[{i}]", item) for i, item in enumerate(value))
        return
    for name, item in value.items():
        if not isinstance(name, str):
            raise TaskValueError(
                f"data must have str names, got {type(name).__name__} in {path:.200}"
            )
        _check_leaf(path, name)
        yield f"{path}.{name}", item


def _check_leaf(path: str, value: object) -> None:
    fault = _fault(value)
    if fault:
        raise TaskValueError(f"data must hold JSON values, got {fault} at {path:.200}")


def _fault(value: object) -> str | None:
    match value:
        case None | bool():
            return None
        case str():
            return _text_fault(value)
        case int():
            return None if abs(value) < _INT_LIMIT else "an integer of more than 4300 digits"
        case float():
            return None if math.isfinite(value) else str(value)
        case _:
            return type(value).__name__


def _text_fault(text: str) -> str | None:
    if "\x00" in text:
        return "a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a lone surrogate"
    return None
