"""What operators see and ask for: frozen pictures of the queue, filters, results of actions."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from esync.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

PENDING = (TaskState.READY, TaskState.RETRY)
FINISHED = (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED)


class Precision(StrEnum):
    """How far a count can be trusted, so that none looks more precise than it is."""

    EXACT = "exact"
    CAPPED = "capped"
    """There are at least that many: counting stopped there."""
    ESTIMATE = "estimate"
    UNREAD = "unread"
    """Nothing is known: counting took too long. The value is 0 and tells nothing."""


class Count(NamedTuple):
    """A number of tasks, and how far it can be trusted."""

    value: int
    precision: Precision = Precision.EXACT


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Why a runner does not pop."""

    by: str
    """user@host"""
    reason: str
    seconds: float
    """Seconds since it was paused."""
    resumes_in: float | None
    """Seconds until it resumes by itself; None = when somebody resumes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastMessage:
    """The newest finished attempt of a task name that matches."""

    state: TaskState
    key: str
    message: str
    seconds: float
    """Seconds since it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NameRow:
    """One task name: what waits, what runs, what fails, how fast."""

    name: str
    ready: Count
    """READY and due."""
    scheduled: Count
    """READY, but not due yet."""
    running: int | None
    """IN PROGRESS; None when there was no time to read it."""
    retry: Count
    failed: Count
    oldest_seconds: float | None
    """Seconds that the longest waiting due task has been due; None when none is due, or unread."""
    limit: int | None
    """At most so many IN PROGRESS in the whole cluster; None = no limit."""
    stream: str | None
    slots: int
    """Handlers of this name that the live workers can run at once."""
    workers: int
    """Live workers that have registered this name."""
    is_known: bool
    """A worker has registered this name before."""
    pause: Pause | None
    done: tuple[int, ...]
    """Attempts that ended DONE in each of the last minutes, oldest first, the current one last."""
    failed_attempts: tuple[int, ...]
    """Attempts that ended FAILED or RETRY, in the same minutes."""
    average_seconds: float | None
    """Mean run time of the attempts of the last five minutes; None when there was none."""
    last: LastMessage | None
    """The newest attempt that ended, however it ended; if unread, not one to be repeated."""
    last_failed: LastMessage | None

    @property
    def is_unread(self) -> bool:
        """Whether there was no time to read its tasks: what waits, runs and failed is unknown."""
        return self.running is None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """One worker process."""

    worker_id: UUID
    host: str
    pid: int
    names: tuple[str, ...]
    slots: int
    running: int | None
    """Tasks IN PROGRESS; None when there was no time to read it."""
    started_seconds: float
    """Seconds since it started."""
    heartbeat_seconds: float
    """Seconds since its last heartbeat."""
    lease_seconds: float
    is_leaving: bool
    version: str

    @property
    def has_lease(self) -> bool:
        """Whether the worker was heard within its lease."""
        return self.heartbeat_seconds <= self.lease_seconds and not self.is_leaving


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The queue at one moment."""

    at: datetime
    """The database's clock."""
    names: tuple[NameRow, ...]
    workers: tuple[WorkerRow, ...]
    oldest_transaction_seconds: float | None = None
    """Age of the oldest transaction that keeps dead rows alive; None when none is old."""
    is_partial: bool = False
    """There was no time to read the tasks: every name is unread, and one may be missing."""
    has_more_names: bool = False
    """These are as many names as are shown; there may be more."""
    took_seconds: float = 0.0
    """Seconds the database needed for this picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which tasks; the terms are combined with AND, the values of one term with OR."""

    names: tuple[str, ...] = ()
    states: tuple[TaskState, ...] = ()
    key: str | None = None
    """The whole key."""
    key_prefix: str | None = None
    error: str | None = None
    """A literal part of last_attempt_message; letter case does not count."""
    since: float | None = None
    """Seconds: last attempted (or created, if never attempted) within them."""
    ids: tuple[UUID, ...] = ()


class Cursor(NamedTuple):
    """Where the next page starts; opaque to everybody but the driver that made it."""

    group: int
    position: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task in a list; no payload, and the message cut to 300 characters."""

    task_id: UUID
    name: str
    key: str
    state: str
    """One of TaskState, or whatever word a legacy table holds."""
    seq: int
    priority: int
    attempts: int
    tries: int
    crashes: int
    created_at: datetime | None
    created_by: str
    do_after: datetime | None
    """None for times that Python cannot hold, such as infinity."""
    last_attempted: datetime | None
    message: str
    worker: str
    """host:pid of the worker that runs or ran it, or its id, or ''."""
    superseded_by: UUID | None
    cancel_requested: str | None
    has_newer: bool
    """A newer request of this key is READY, RETRY, IN PROGRESS or DONE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """Tasks in the order of their list: running, pending in run order, finished newest first."""

    rows: tuple[TaskRow, ...]
    next: Cursor | None
    """Where the next page starts; None at the end."""
    unread: tuple[str, ...] = ()
    """What there was no time to look at, in words: such tasks may be missing here."""


DETAIL_DATA_LIMIT = 64_000
"""Characters of a task's data that a detail holds unless more are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDetail:
    """One task with everything that is known of it."""

    row: TaskRow
    message: str
    """The whole last_attempt_message."""
    raw_data: str
    """JSON text, cut at as many characters as were asked for."""
    data_length: int
    """Characters of the whole JSON text."""
    errors: tuple[dict[str, Any], ...]
    """The last 20 unsuccessful attempts, oldest first: at, attempt, outcome, message, seconds,
    traceback, worker; each may be missing."""
    history: tuple[TaskRow, ...]
    """The requests of the same name and key, newest first, at most 50, this one included."""

    @property
    def is_data_cut(self) -> bool:
        """Whether raw_data is the beginning of the data only."""
        return len(self.raw_data) < self.data_length


class ActionVerb(StrEnum):
    """What operators do; the words of the CLI, the key labels and the audit."""

    REQUEUE = "requeue"
    CANCEL = "cancel"
    RUN_NOW = "run-now"
    PAUSE = "pause"
    RESUME = "resume"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Who acts, from where, how and why; written to the audit with the action."""

    who: str
    host: str
    via: str
    """cli, console or library."""
    reason: str = ""


class Skip(NamedTuple):
    """A task that an action left alone, and why."""

    task_id: UUID | None
    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """What an action really did."""

    verb: ActionVerb
    changed: tuple[UUID, ...] = ()
    """Tasks whose state or time was changed."""
    asked: tuple[UUID, ...] = ()
    """Tasks IN PROGRESS whose handler was asked to stop; they may finish all the same."""
    names: tuple[str, ...] = ()
    """Runners that were changed."""
    skipped: tuple[Skip, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One line of the audit."""

    audit_id: int
    at: datetime
    who: str
    host: str
    via: str
    verb: str
    name: str
    target: dict[str, Any] = field(default_factory=dict)
    reason: str
    matched: int
    changed: int
    skipped: int


def rate_per_minute(buckets: Sequence[int], *, second: int) -> int:
    """Return how many there were in the last minute, out of counts per minute of the clock.

    The current minute is only `second` seconds old: the rest comes from the one before it.
    """
    if not buckets:
        return 0
    before = buckets[-2] if len(buckets) > 1 else 0
    return round(buckets[-1] + before * (60 - second) / 60)
