"""What the memory holds: tasks, workers, runners, scheduled actions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from esync.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from esync.driver import MinuteCount, RunnerInfo, WorkerInfo
    from esync.snapshot import Attribution

ERROR_LIMIT = 20
"""Unsuccessful attempts that a task remembers."""


@dataclass(slots=True, kw_only=True, eq=False)
class Row:
    """One task. The store's lock guards it; change it inside `Store.changing` only."""

    task_id: UUID
    name: str
    key: str
    raw_data: str
    created_at: float
    created_by: str
    do_after: float
    priority: int
    seq: int
    state: TaskState = TaskState.READY
    message: str = ""
    last_attempted: float | None = None
    attempts: int = 0
    tries: int = 0
    crashes: int = 0
    claimed_by: UUID | None = None
    superseded_by: UUID | None = None
    cancel_requested: str | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)

    def add_error(self, error: dict[str, Any]) -> None:
        """Remember an unsuccessful attempt, and forget the oldest beyond the limit."""
        self.errors = [*self.errors, error][-ERROR_LIMIT:]

    def is_held(self, *, attempt: int, worker_id: UUID) -> bool:
        """Whether this attempt of this worker still owns the task."""
        return self.state is TaskState.IN_PROGRESS and self.bears(
            attempt=attempt, worker_id=worker_id
        )

    def bears(self, *, attempt: int, worker_id: UUID) -> bool:
        """Whether this attempt of this worker was the last to own the task."""
        return self.attempts == attempt and self.claimed_by == worker_id


@dataclass(slots=True, kw_only=True)
class Worker:
    """One worker's row."""

    info: WorkerInfo
    runners: Mapping[str, RunnerInfo]
    started: float
    heartbeat: float
    is_leaving: bool = False

    def has_lease(self, now: float) -> bool:
        """Whether the worker may pop: heard within its lease and not leaving."""
        return not self.is_leaving and now - self.heartbeat <= self.info.lease


@dataclass(slots=True, kw_only=True)
class PauseRecord:
    """An operator's pause."""

    by: Attribution
    at: float
    until: float | None


@dataclass(slots=True)
class Runner:
    """What is known of a task name; last_seen stays None until a worker registers it."""

    last_seen: float | None = None
    limit: int | None = None
    stream: str | None = None
    pause: PauseRecord | None = None


@dataclass(slots=True, kw_only=True)
class Action:
    """A scheduled action."""

    started: float
    """When it was last started, or first seen."""
    stream: str | None
    held_by: UUID | None = None
    error: str | None = None
    interval: float = 0.0
    """Of the run that was started last."""
    rests_until: float = 0.0
    """When its stream is no longer the others'."""


class Minute(NamedTuple):
    """What happened to one name in one minute."""

    done: int = 0
    failed: int = 0
    retried: int = 0
    cancelled: int = 0
    superseded: int = 0
    run_seconds: float = 0.0

    def plus(self, count: MinuteCount) -> Minute:
        """Return the sum."""
        return Minute(
            self.done + count.done,
            self.failed + count.failed,
            self.retried + count.retried,
            self.cancelled + count.cancelled,
            self.superseded + count.superseded,
            self.run_seconds + count.run_seconds,
        )

    @property
    def attempts(self) -> int:
        """Attempts that ended."""
        return self.done + self.failed + self.retried + self.cancelled


def moment(stamp: float) -> datetime:
    """Return a stored time as an aware datetime."""
    return datetime.fromtimestamp(stamp, UTC)


def signature(by: Attribution) -> str:
    """Return who acts, from where and why, in one line."""
    return f"{by.who}@{by.host}: {by.reason}" if by.reason else f"{by.who}@{by.host}"
