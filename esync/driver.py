"""The promises that a store of tasks makes, as three narrow protocols and their sum.

A driver is safe to call from any thread. Every method may raise DriverUnavailableError (try
again later), SchemaError, or DriverError. Times that are stored come from the store's clock.
`esync.testing` holds the specification that every driver passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from esync.snapshot import DETAIL_DATA_LIMIT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from uuid import UUID

    from esync.snapshot import (
        ActionResult,
        Attribution,
        AuditRow,
        Count,
        Cursor,
        Filter,
        Overview,
        TaskDetail,
        TaskPage,
        TaskRow,
        WorkerRow,
    )
    from esync.task import Claim, Finish, NewTask, Release

POP_LIMIT = 1000
"""Tasks that one pop may claim."""

STREAM_REST_SECONDS = 1.1
"""So long a scheduled action that ran for as long as its interval leaves its stream to the others:
runners that wait for it look once a second."""


class ProducerDriver(Protocol):
    """What adding tasks needs."""

    def add(self, task: NewTask) -> None:
        """Store one request; it is durable when this returns."""

    def add_many(self, tasks: Iterable[NewTask]) -> int:
        """Store many requests in one transaction, all or none; return how many."""

    def within(self, connection: Any) -> ProducerDriver:
        """Return a producer whose requests belong to the caller's transaction."""

    def get_task_count(self, name: str | None = None) -> int:
        """Return how many tasks are READY, RETRY or IN PROGRESS, of one name or of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """What a worker tells about itself."""

    worker_id: UUID
    host: str
    pid: int
    slots: int
    lease: float
    """Seconds that the worker may go unheard before its tasks are rescued."""
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerInfo:
    """What a worker registers for a task name."""

    name: str
    slots: int
    limit: int | None = None
    """At most so many IN PROGRESS in the whole cluster."""
    stream: str | None = None
    """Never at the same time as another runner or scheduled action of this stream."""


class Place(NamedTuple):
    """A place in the run order of a name; a store may keep in it what it likes."""

    priority: int
    do_after: str
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Popped:
    """What a pop did."""

    claims: tuple[Claim, ...]
    """In run order; they are IN PROGRESS and belong to the worker."""
    superseded: int = 0
    """Older requests that were CANCELLED."""
    blocked: tuple[str, ...] = ()
    """Keys that could not be claimed now: running, held by somebody, or too many rows. The next
    pop may be told to leave them out."""
    is_exhausted: bool = True
    """No due row was left unseen."""
    suspects: int = 0
    """Due tasks that were left because they have crashed a worker before: they are popped alone,
    with `suspects=True`, when nothing else of the runner is in flight."""
    is_limited: bool = False
    """Due tasks were left because of the runner's limit or stream."""
    is_held: bool = False
    """Somebody held the runner or its stream all the time, most likely another worker that pops:
    nothing was seen."""
    place: Place | None = None
    """Where in the run order the next pop may begin. After the last claim, or, if this pop was
    exhausted, a second before that was due, for inserts that are committed later. None if it saw
    nothing, left something of what it saw, or the store does not tell."""


class Look(NamedTuple):
    """What a worker sees in its probe, once per second for all its names."""

    due: frozenset[str]
    """Names that have due tasks (paused ones excepted)."""
    next_due: float | None
    """Seconds until the next task of any of the names becomes due; None = none waits."""
    paused: frozenset[str]
    intervals: Mapping[str, float]
    """Seconds between attempts where an operator has overridden the handler's."""
    cancels: Mapping[UUID, str]
    """IN PROGRESS tasks of this worker that somebody asked to cancel: who and why."""
    has_lost_worker: bool
    """The lease of some worker has run out: it is time to rescue."""
    seconds: float = 0.0
    """How long the store took."""


class Rescued(NamedTuple):
    """What a rescue did."""

    workers: int
    """Workers whose lease had run out."""
    retried: int
    """Tasks that were given back."""
    failed: int
    """Tasks that have crashed too many workers and are FAILED now."""


class MinuteCount(NamedTuple):
    """What happened to the tasks of one name since the last count; for people, not decisions."""

    name: str
    done: int
    failed: int
    retried: int
    cancelled: int
    superseded: int
    run_seconds: float


class Listener(Protocol):
    """A source of wake-ups."""

    def wait(self, timeout: float) -> list[str] | None:
        """Return the payloads that came within so many seconds (perhaps none).

        A payload is a task name, or '*' when something concerns everybody. Returns None once the
        listener is closed. Raises DriverUnavailableError when the connection is lost: make a new
        listener, and look yourself, since wake-ups were missed.
        """

    def close(self) -> None:
        """Stop waiting; may be called from any thread, more than once."""


class RunnerDriver(Protocol):
    """What running tasks needs."""

    def register(self, worker: WorkerInfo, runners: Sequence[RunnerInfo]) -> None:
        """Enter a worker and its names; raise SchemaError when the schema does not fit."""

    def beat(self, worker_id: UUID, *, names: Collection[str]) -> bool:
        """Renew the worker's lease and the names' last_seen; False when its row is gone."""

    def leave(self, worker_id: UUID, *, is_running: bool = False) -> None:
        """Take the worker out; with handlers still running, mark it leaving instead.

        The tasks of a leaving worker are rescued by others within a second, not counted as
        crashes: its process must end at once.
        """

    def rescue(
        self, *, max_crashes: int, sweep: bool = True, worker_id: UUID | None = None
    ) -> Rescued:
        """Give back tasks of workers whose lease ran out, and of legacy processors.

        As many as do not keep others waiting for long: call it again until it finds none.
        A `sweep` reads all that runs, for tasks whose worker was taken out before; without one
        nothing is read unless a lease has run out. A worker that names itself sweeps only if it is
        the first of those that live: the shortest lease, then the smallest id.
        """

    def cancel_unknown(self, *, grace: float, forget_after: float) -> Mapping[str, int]:
        """Cancel due tasks of names that no worker knows; return how many of each name.

        Unknown: never registered and due for `grace` seconds, or not registered for
        `forget_after` seconds. Paused names are left alone.
        """

    def pop(  # the parameters are design.md section 5's
        self,
        name: str,
        *,
        worker_id: UUID,
        count: int,
        limit: int | None = None,
        stream: str | None = None,
        skip_keys: Collection[str] = (),
        suspects: bool = False,
        after: Place | None = None,
    ) -> Popped:
        """Claim up to `count` tasks of a name, the newest due request of each key.

        Nothing is claimed while the runner is paused. With `suspects`, one task that has crashed
        a worker before; otherwise only tasks that have not. An operator's limit goes before
        `limit`. `after` is where an earlier pop got to: what lies before it may be left out, so
        only for a moment, since requests may have been committed there since.
        Raises WorkerGoneError without the worker's live row.
        """

    def finish(self, finishes: Sequence[Finish], *, worker_id: UUID) -> set[UUID]:
        """Record outcomes in one statement; return the ids recorded, now or by an earlier call.

        An id that is missing from the result had lost its lease: another worker owns it now, or
        an operator took it away. A RETRY whose cancel was asked for becomes CANCELLED.
        """

    def release(self, releases: Sequence[Release], *, worker_id: UUID) -> set[UUID]:
        """Give back claims that were never started; return the ids given back."""

    def look(
        self,
        names: Collection[str],
        *,
        worker_id: UUID,
        busy: Collection[str] = (),
        due_within: float | None = None,
    ) -> Look:
        """Probe all names of a worker at once, including what operators asked for.

        The tasks of `busy` names are not probed: their runners pop all the time anyway. Nor need
        be those that have been due for longer than `due_within` seconds.
        """

    def sleep(self, names: Collection[str], *, worker_id: UUID) -> None:
        """Write runners in as sleeping: inserts of their names send a wake-up from now on.

        Until they wake, or the worker leaves or loses its lease; an outage does not change it.
        """

    def wake(self, names: Collection[str], *, worker_id: UUID) -> None:
        """Take runners out of the sleepers."""

    def listen(self) -> Listener | None:
        """Open a source of wake-ups; None when there is none and polling must do."""

    def report(self, task_id: UUID, *, attempt: int, worker_id: UUID, message: str) -> None:
        """Show a running attempt's progress as its message; dropped if the lease is lost."""

    def count(self, counts: Sequence[MinuteCount], *, worker_id: UUID) -> None:
        """Add to the counts of the current minute."""

    def begin_action(
        self, name: str, *, worker_id: UUID, interval: float, stream: str | None
    ) -> float | None:
        """Claim the next run of a scheduled action in the whole cluster.

        Returns None when the caller is to run it now, else the seconds after which to ask again.
        `interval` seconds lie between two starts; runs that were missed merge into one. The
        first run is due one interval after the action was first seen.
        """

    def end_action(self, name: str, *, worker_id: UUID, error: str | None) -> None:
        """Record that the run claimed by `begin_action` has ended, and with which error.

        If the next one is due already, and the action has a stream, it is due after a rest.
        """

    def close(self) -> None:
        """Close every connection; the driver may be used again and then reconnects."""


class ConsoleDriver(Protocol):
    """What operators need. Reading never locks a row and has a time limit."""

    def check_schema(self) -> None:
        """Raise SchemaError unless the schema fits this library."""

    def get_overview(self, *, minutes: int = 30) -> Overview:
        """Return the queue at this moment, with counts for so many minutes.

        When its tasks cannot be read in time the overview is partial, and says so.
        """

    def list_tasks(self, where: Filter, *, limit: int, after: Cursor | None = None) -> TaskPage:
        """Return a page of matching tasks: running, then pending in run order, then finished.

        It names what it had no time to look at.
        """

    def count_tasks(self, where: Filter, *, cap: int = 10_000) -> Count:
        """Return how many tasks match, counting no further than the cap."""

    def find_tasks(
        self, key: str, *, name: str | None = None, limit: int = 50
    ) -> tuple[TaskRow, ...]:
        """Return the requests of a key in every state, newest first."""

    def get_task(
        self, task_id: UUID, *, data_limit: int | None = DETAIL_DATA_LIMIT
    ) -> TaskDetail | None:
        """Return everything about one task, with so many characters of its data; None = all."""

    def list_workers(self) -> tuple[WorkerRow, ...]:
        """Return the workers, dead ones that were not rescued yet included."""

    def list_audit(self, *, limit: int = 100) -> tuple[AuditRow, ...]:
        """Return what operators did, newest first."""

    def requeue(
        self, ids: Sequence[UUID], *, by: Attribution, skip_newer: bool = False
    ) -> ActionResult:
        """Make FAILED, CANCELLED and DONE tasks READY and due now, with tries and crashes at 0.

        With `skip_newer`, tasks whose key has a newer READY, RETRY, IN PROGRESS or DONE request
        are skipped.
        """

    def cancel(self, ids: Sequence[UUID], *, by: Attribution) -> ActionResult:
        """Cancel READY and RETRY tasks; ask the handlers of those IN PROGRESS to stop."""

    def run_now(self, ids: Sequence[UUID], *, by: Attribution) -> ActionResult:
        """Put READY and RETRY tasks before the oldest due one of their name."""

    def pause(
        self, names: Sequence[str], *, by: Attribution, resume_after: float | None = None
    ) -> ActionResult:
        """Pause runners in the whole cluster, until resumed or for so many seconds."""

    def resume(self, names: Sequence[str], *, by: Attribution) -> ActionResult:
        """Resume paused runners; names that are not paused are skipped."""

    def close(self) -> None:
        """Close every connection."""


class Driver(ProducerDriver, RunnerDriver, ConsoleDriver, Protocol):
    """Everything."""
