"""What people type: states, ids, moments and data, checked before the database is asked."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from esync.config import parse_seconds
from esync.errors import TaskValueError
from esync.payload import DATA_LIMIT_BYTES, parse_data
from esync.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 40
_DATE_LENGTH = len("2026-01-31")


def parse_states(texts: Iterable[str]) -> tuple[TaskState, ...]:
    """Return the states of --state failed,retry --state 'IN PROGRESS'."""
    words = [word for text in texts for word in text.split(",")]
    return tuple(dict.fromkeys(_parse_state(word) for word in words))


def parse_ids(texts: Iterable[str]) -> tuple[UUID, ...]:
    """Return the ids of --id ID --id ID."""
    return tuple(dict.fromkeys(_parse_id(text) for text in texts))


def parse_age(option: str, text: str | None) -> float | None:
    """Return the seconds of --since 2h or --for 30m; they must be more than 0."""
    if text is None:
        return None
    seconds = parse_seconds(option, text)
    if seconds <= 0:
        raise TaskValueError(f"{option} must be more than 0 s, got {text[:_SHOWN]!r}")
    return seconds


def parse_after(text: str | None) -> datetime | float | None:
    """Return a delay in seconds, or the moment of an ISO 8601 time with its zone."""
    if text is None:
        return None
    is_moment = len(text) > _DATE_LENGTH and text[4:5] == "-"
    if not is_moment:
        return parse_seconds("--after", text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise TaskValueError(
            "--after must be a duration (10m) or a time with its zone (2026-01-31T18:00+01:00),"
            f" got {text[:_SHOWN]!r}"
        )
    return moment


def read_data(text: str | None) -> dict[str, Any] | None:
    """Return the object of --data; '-' reads it from stdin, no further than the limit."""
    if text is None:
        return None
    return parse_data(_read_stdin() if text == "-" else text)


def _read_stdin() -> str:
    content = sys.stdin.buffer.read(DATA_LIMIT_BYTES + 1)
    if len(content) > DATA_LIMIT_BYTES:
        raise TaskValueError(f"data must be at most {DATA_LIMIT_BYTES} bytes, stdin has more")
    if not content.strip():
        raise TaskValueError("data must be JSON: stdin is empty")
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        msg = f"data must be UTF-8: bad byte at {exc.start} of stdin"
        raise TaskValueError(msg) from None


def _parse_state(word: str) -> TaskState:
    named = " ".join(word.replace("-", " ").replace("_", " ").split()).upper()
    try:
        return TaskState(named)
    except ValueError:
        states = ", ".join(TaskState)
        msg = f"state must be one of {states}, got {word[:_SHOWN]!r}"
        raise TaskValueError(msg) from None


def _parse_id(text: str) -> UUID:
    try:
        return UUID(text.strip())
    except ValueError:
        msg = f"id must be a task id such as {UUID(int=0)}, got {text[:_SHOWN]!r}"
        raise TaskValueError(msg) from None
