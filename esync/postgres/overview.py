"""The queue at one moment, from a few cheap statements, each with an index and a limit.

What was decided, the workers and the counts per minute are always read. What looks for rows of
the queue has a time of its own, and when that is over the overview is a partial one.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from esync.postgres.counting import UNREAD, NameCounts, count
from esync.postgres.decode import last_message, moment, worker_row
from esync.postgres.reading import NAME_LIMIT
from esync.snapshot import NameRow, Overview, Pause

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from psycopg.rows import TupleRow

    from esync.postgres.reading import Reading
    from esync.snapshot import LastMessage, WorkerRow

AVERAGE_MINUTES = 5
"""Minutes over which the mean run time is taken."""

OLD_TRANSACTION_SECONDS = 60.0
"""Younger transactions are nothing to tell of."""

WHOLE_SECONDS = 0.75
"""What looks for rows of the queue may take so long, all of it together."""

_ENDED_SECONDS = 0.25
"""The last messages of a partial overview may."""


def read_overview(read: Reading, *, minutes: int, known: Collection[str]) -> Overview:
    """Return the queue at the moment of the reading.

    `known` are the names that may have tasks, for when there is no time to look for them.
    """
    started = time.monotonic()
    frame = _frame(read)
    length = max(minutes, AVERAGE_MINUTES)
    whole = read.attempt("overview", lambda: _tasks(read, length=length), seconds=WHOLE_SECONDS)
    tasks = whole or _without_tasks(read, sorted({*known, *frame.runners}), length=length)
    picture = _Picture(minutes=minutes, frame=frame, slots=_slots(frame.workers), tasks=tasks)
    return Overview(
        at=frame.at,
        names=tuple(picture.rows()),
        workers=_workers(frame.workers, tasks.running),
        oldest_transaction_seconds=frame.oldest_transaction,
        is_partial=whole is None,
        has_more_names=len(tasks.names) >= NAME_LIMIT,
        took_seconds=time.monotonic() - started,
    )


def read_workers(read: Reading) -> tuple[WorkerRow, ...]:
    """Return the workers; what runs on them only if that can be read in time."""
    rows = read.rows("list_workers")
    running = read.attempt(
        "overview_running", lambda: read.rows("overview_running"), seconds=WHOLE_SECONDS
    )
    return _workers(rows, None if running is None else _running(running))


class _Decided(NamedTuple):
    """What was decided about a name: the columns of overview_runners.sql."""

    is_paused: bool = False
    paused_by: str = ""
    reason: str = ""
    paused_seconds: float | None = None
    resumes_in: float | None = None
    limit: int | None = None
    stream: str | None = None
    is_known: bool = False

    @property
    def pause(self) -> Pause | None:
        """Why the runner does not pop."""
        if not self.is_paused:
            return None
        return Pause(
            by=self.paused_by,
            reason=self.reason,
            seconds=max(0.0, self.paused_seconds or 0.0),
            resumes_in=self.resumes_in,
        )


class _Frame(NamedTuple):
    """What is read without looking for rows of the queue."""

    at: datetime
    oldest_transaction: float | None
    runners: Mapping[str, _Decided]
    workers: Sequence[TupleRow]


class _Running(NamedTuple):
    """How many tasks are IN PROGRESS."""

    of_name: Counter[str]
    of_worker: Counter[UUID | None]


class _Ended(NamedTuple):
    """The last messages of a name."""

    last: LastMessage | None = None
    last_failed: LastMessage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tasks:
    """What the rows of the queue tell, and the counts per minute; what is None was not read."""

    names: Sequence[str]
    past: Mapping[str, _Minutes]
    running: _Running | None = None
    oldest: Mapping[str, float] = field(default_factory=dict)
    ended: Mapping[str, _Ended] = field(default_factory=dict)
    counts: Mapping[str, NameCounts] | None = None


@dataclass(slots=True)
class _Minutes:
    """What happened to a name in the last minutes, oldest first."""

    length: int
    done: list[int] = field(init=False)
    failed_attempts: list[int] = field(init=False)
    run_seconds: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.done = [0] * self.length
        self.failed_attempts = [0] * self.length
        self.run_seconds = [0.0] * self.length

    @property
    def average_seconds(self) -> float | None:
        """Mean run time of the attempts of the last five minutes."""
        last = slice(-AVERAGE_MINUTES, None)
        attempts = sum(self.done[last]) + sum(self.failed_attempts[last])
        return sum(self.run_seconds[last]) / attempts if attempts else None


def _frame(read: Reading) -> _Frame:
    with read.together():
        clock = read.send("overview_transaction", older=OLD_TRANSACTION_SECONDS)
        decided = read.send("overview_runners", limit=NAME_LIMIT)
        present = read.send("list_workers")
        ((at, oldest_transaction),) = clock.fetchall()
        runners = {name: _Decided(*columns) for name, *columns in decided}
        workers = present.fetchall()
    at_moment = moment(at)
    assert at_moment is not None, at  # noqa: S101 - the clock of a server is a time
    return _Frame(at_moment, oldest_transaction, runners, workers)


def _tasks(read: Reading, *, length: int) -> _Tasks:
    """Look for every name that has tasks or a runner, and for its tasks."""
    names = read.task_names()
    with read.together():
        waiting = read.send("overview_waiting", names=names)
        running = read.send("overview_running")
        ended = read.send("overview_ended", names=names, retried=True)
        past = read.send("overview_minutes", names=names, minutes=length)
        oldest: dict[str, float] = dict(waiting.fetchall())
        running_rows, ended_rows = running.fetchall(), ended.fetchall()
        past_rows = past.fetchall()
    return _Tasks(
        names=names,
        past=_past(past_rows, length=length),
        running=_running(running_rows),
        oldest=oldest,
        ended=_ended(ended_rows),
        counts=count(read, names),
    )


def _without_tasks(read: Reading, names: Sequence[str], *, length: int) -> _Tasks:
    """Look for nothing but the last messages, where an index begins with them.

    The newest entries of what ended are alive, whatever lies behind them. Of what is to be
    repeated they are not.
    """
    rows = read.attempt(
        "overview_ended",
        lambda: read.rows("overview_ended", names=names, retried=False),
        seconds=_ENDED_SECONDS,
    )
    past = read.rows("overview_minutes", names=names, minutes=length)
    return _Tasks(names=names, past=_past(past, length=length), ended=_ended(rows or ()))


def _running(rows: Sequence[TupleRow]) -> _Running:
    of_name: Counter[str] = Counter()
    of_worker: Counter[UUID | None] = Counter()
    for name, worker_id, number in rows:
        of_name[name] += number
        of_worker[worker_id] += number
    return _Running(of_name, of_worker)


def _ended(rows: Sequence[TupleRow]) -> dict[str, _Ended]:
    return {row[0]: _Ended(last_message(row[1:5]), last_message(row[5:9])) for row in rows}


def _workers(rows: Sequence[TupleRow], running: _Running | None) -> tuple[WorkerRow, ...]:
    return tuple(
        worker_row(row, running=None if running is None else running.of_worker[row[0]])
        for row in rows
    )


def _slots(rows: Sequence[TupleRow]) -> dict[str, list[int]]:
    """Return the slots of each name on each live worker that has registered it."""
    slots: dict[str, list[int]] = {}
    for row, worker in zip(rows, _workers(rows, None), strict=True):
        if worker.has_lease:
            for name, number in zip(row[3], row[4], strict=False):
                slots.setdefault(name, []).append(number)
    return slots


def _past(rows: Sequence[TupleRow], *, length: int) -> dict[str, _Minutes]:
    past: dict[str, _Minutes] = {}
    for name, place, done, failed_attempts, run_seconds in rows:
        if 0 <= place < length:
            minutes = past.setdefault(name, _Minutes(length))
            minutes.done[place] = done
            minutes.failed_attempts[place] = failed_attempts
            minutes.run_seconds[place] = run_seconds
    return past


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """What was read about all names, to be told name by name."""

    minutes: int
    frame: _Frame
    slots: Mapping[str, list[int]]
    """Of each live worker that has registered the name."""
    tasks: _Tasks

    def rows(self) -> Iterator[NameRow]:
        """Yield the names in their order."""
        for name in sorted(self.tasks.names):
            row = self._row(name)
            if name or _has_tasks(row):
                yield row

    def _row(self, name: str) -> NameRow:
        decided = self.frame.runners.get(name, _Decided())
        ended = self.tasks.ended.get(name, _Ended())
        running, counts = self.tasks.running, self.tasks.counts
        number = UNREAD if counts is None else counts.get(name, NameCounts())
        slots = self.slots.get(name, [])
        past = self.tasks.past.get(name) or _Minutes(max(self.minutes, AVERAGE_MINUTES))
        shown = len(past.done) - self.minutes
        return NameRow(
            name=name,
            ready=number.ready,
            scheduled=number.scheduled,
            running=None if running is None else running.of_name[name],
            retry=number.retry,
            failed=number.failed,
            oldest_seconds=self.tasks.oldest.get(name),
            limit=decided.limit,
            stream=decided.stream,
            slots=sum(slots),
            workers=len(slots),
            is_known=decided.is_known,
            pause=decided.pause,
            done=tuple(past.done[shown:]),
            failed_attempts=tuple(past.failed_attempts[shown:]),
            average_seconds=past.average_seconds,
            last=ended.last,
            last_failed=ended.last_failed,
        )


def _has_tasks(row: NameRow) -> bool:
    """Whether the empty name, which is always looked for, has anything; unread, it has."""
    counts = (row.ready, row.scheduled, row.retry, row.failed)
    return row.running != 0 or any(number.value for number in counts) or row.last is not None
