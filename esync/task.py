"""What a task is: its states and results, a request for one, a claim on one, its outcome."""

from __future__ import annotations

import hashlib
import os
import pwd
import random
import socket
import time
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from esync.errors import TaskValueError
from esync.payload import DATA_LIMIT_BYTES, encode_data

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_LIMIT = 64
"""Characters of a task name or key: the width of the original's columns."""

DEFAULT_PRIORITY = 5
"""Priorities go from 0 (first) to 9 (last)."""

LAST_PRIORITY = 9
# Our own, since programs seed the one that everybody shares; a forked process seeds its anew.
_chance = random.Random()  # noqa: S311 - ids are no secrets
os.register_at_fork(after_in_child=_chance.seed)
_LOW_62_BITS = (1 << 62) - 1
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)
_DELAY_LIMIT_SECONDS = 100 * 365 * 86400.0


class TaskState(StrEnum):
    """The six words of the original."""

    READY = "READY"
    IN_PROGRESS = "IN PROGRESS"
    RETRY = "RETRY"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class TaskResult(StrEnum):
    """What a handler returns, alone or with a message."""

    SUCCESS = "SUCCESS"
    PERMANENT_FAILURE = "PERMANENT_FAILURE"
    RETRY_FAILURE = "RETRY_FAILURE"


class NewTask(NamedTuple):
    """A checked request; made by `new_task`, stored by a producer driver."""

    task_id: UUID
    name: str
    key: str
    raw_data: str
    """JSON text of an object."""
    created_by: str
    delay: float = 0.0
    """Seconds from the database's now until the task is due; ignored when `do_after` is given."""
    do_after: datetime | None = None
    priority: int = DEFAULT_PRIORITY


class Claim(NamedTuple):
    """A task that a pop has handed to a worker; payload and times are still text.

    A tuple, since a pop makes a thousand of them at once.
    """

    task_id: UUID
    key: str
    attempt: int
    """The fence: finish and release must bear it."""
    tries: int
    """Failures and crashes since the last requeue, this attempt not counted."""
    crashes: int
    raw_data: str
    created_at: str | None
    created_by: str | None


class Finish(NamedTuple):
    """The outcome of one attempt; a tuple, since a worker makes tens of thousands a second."""

    task_id: UUID
    attempt: int
    state: TaskState
    """DONE, FAILED, RETRY or CANCELLED."""
    message: str
    delay: float = 0.0
    """Seconds until the next attempt, for RETRY."""
    error: str | None = None
    """JSON text of one entry of `errors`; None for a success."""


class Release(NamedTuple):
    """A claim that is given back without having been started."""

    task_id: UUID
    attempt: int


def new_task(
    name: str,
    key: str,
    data: Mapping[str, Any] | None = None,
    *,
    created_by: str,
    after: datetime | timedelta | float | None = None,
    priority: int = DEFAULT_PRIORITY,
    data_limit_bytes: int = DATA_LIMIT_BYTES,
) -> NewTask:
    """Return a checked request, or raise TaskValueError naming the field and the rule.

    `after` is when the task becomes due: an aware datetime, or a delay as seconds or timedelta.
    """
    delay, do_after = _due(after)
    return NewTask(
        task_id=new_task_id(),
        name=check_name(name),
        key=check_key(key),
        raw_data="{}" if data is None else encode_data(data, limit_bytes=data_limit_bytes),
        created_by=check_created_by(created_by),
        delay=delay,
        do_after=do_after,
        priority=_check_priority(priority),
    )


def new_task_id() -> UUID:
    """Return a time-ordered id (UUID version 7, RFC 9562 section 5.7).

    Its clock is only there to keep the index compact; `seq` decides what is newest.
    """
    millis = time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF
    chance = _chance.getrandbits(74)  # around the variant
    return UUID(
        int=millis << 80 | 0x7 << 76 | chance >> 62 << 64 | 0x2 << 62 | chance & _LOW_62_BITS
    )


def hash_key(text: str) -> str:
    """Return the SHA-256 of a text as 64 hex digits: a key for what is too long to be one."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def default_created_by() -> str:
    """Return user@host, cut to the column's width; works for a user without a name too."""
    text = f"{system_user()}@{socket.gethostname()}"
    return "".join(c if c.isprintable() else "?" for c in text)[:KEY_LIMIT]


def system_user() -> str:
    """Return the name of the user that owns this process, whatever its environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a number that has no name
        return f"uid{os.getuid()}"


def check_name(name: str, *, what: str = "task name") -> str:
    """Return a name of a task, or of `what`, if it may be one, else raise TaskValueError."""
    return _check_text(what, name)


def check_key(key: str) -> str:
    """Return the task key if it may be one, else raise TaskValueError."""
    return _check_text("task key", key)


def check_created_by(text: str) -> str:
    """Return who made a request if it can be stored, else raise TaskValueError."""
    return _check_text("created_by", text)


def _check_text(field: str, text: str) -> str:
    # Nearly all are like this; what is printable holds neither controls nor lone surrogates.
    if type(text) is str and 0 < len(text) <= KEY_LIMIT and text.isprintable():
        return text
    if not isinstance(text, str):
        raise TaskValueError(f"{field} must be a str, got {type(text).__name__}")
    if not text:
        raise TaskValueError(f"{field} must not be empty")
    if len(text) > KEY_LIMIT:
        cure = "; hash_key(text) makes a key of any text" if field == "task key" else ""
        raise TaskValueError(
            f"{field} must have at most {KEY_LIMIT} characters, got {len(text)}{cure}"
        )
    for position, char in enumerate(text):
        if char < " " or "\x7f" <= char <= "\x9f":
            raise TaskValueError(
                f"{field} must not contain control characters, got U+{ord(char):04X}"
                f" at position {position}"
            )
        if "\ud800" <= char <= "\udfff":
            raise TaskValueError(
                f"{field} must be valid Unicode, got a lone surrogate at position {position}"
            )
    return str(text)


def _check_priority(priority: int) -> int:
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise TaskValueError(f"priority must be an int, got {type(priority).__name__}")
    if not 0 <= priority <= LAST_PRIORITY:
        raise TaskValueError(f"priority must be 0 (first) to {LAST_PRIORITY}, got {priority}")
    return priority


def _due(after: datetime | timedelta | float | None) -> tuple[float, datetime | None]:
    if after is None:
        return 0.0, None
    if isinstance(after, datetime):
        return 0.0, _check_moment(after)
    if isinstance(after, timedelta):
        after = after.total_seconds()
    if isinstance(after, bool) or not isinstance(after, int | float):
        raise TaskValueError(
            f"after must be seconds, a timedelta or an aware datetime, got {type(after).__name__}"
        )
    if not 0 <= after <= _DELAY_LIMIT_SECONDS:
        raise TaskValueError(f"after must be between 0 seconds and 100 years, got {after}")
    return float(after), None


def _check_moment(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise TaskValueError("after must be a datetime with a time zone, got a naive one")
    if not _EARLIEST <= moment <= _LATEST:
        raise TaskValueError(f"after must lie between 2000 and 9000, got {moment.isoformat()}")
    return moment
