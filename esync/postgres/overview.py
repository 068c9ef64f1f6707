"""The queue at one moment, from a few cheap statements, each with an index and a limit."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from esync.postgres.decode import last_message, moment, worker_row
from esync.snapshot import Count, NameRow, Overview, Pause, Precision

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg.rows import TupleRow

    from esync.postgres.reading import Reading
    from esync.snapshot import WorkerRow

AVERAGE_MINUTES = 5
"""Minutes over which the mean run time is taken."""

EXACT_SECONDS = 0.1
"""Exact counts that take longer give way to capped ones."""

OLD_TRANSACTION_SECONDS = 60.0
"""Younger transactions are nothing to tell of."""

_EXACT_LIMIT_SECONDS = 0.25
_CAPPED_SECONDS = 60.0
_CAPPED_SECONDS_LIMIT = 960.0
_CAP = 10_000
_CAP_ALL = 200_000
"""Index entries that capped counts may read, of all names together; about 20 ms."""


class NameCounts(NamedTuple):
    """How many tasks of a name wait and how many have FAILED."""

    ready: Count = Count(0)
    scheduled: Count = Count(0)
    retry: Count = Count(0)
    failed: Count = Count(0)


@dataclass(slots=True)
class Counting:
    """Whether counts are exact just now; used under the lock of the lane that reads."""

    capped_until: float = 0.0
    """By time.monotonic(): when exact counts are tried again."""
    capped_seconds: float = _CAPPED_SECONDS
    """For how long counts are capped next time: twice as long as the last, up to 16 minutes."""

    def count(self, read: Reading, names: Sequence[str]) -> dict[str, NameCounts]:
        """Return the counts of the names that have any: exact while that is cheap."""
        if time.monotonic() >= self.capped_until:
            started = time.monotonic()
            rows = read.rows_within(_EXACT_LIMIT_SECONDS, "overview_counts")
            self._learn(time.monotonic() - started)
            if rows is not None:
                return _exact(rows)
        cap = min(_CAP, max(100, _CAP_ALL // max(1, len(names))))
        rows = read.rows("overview_capped_counts", names=list(names), cap=cap + 1)
        return {row[0]: _capped(row, cap=cap) for row in rows}

    def _learn(self, took: float) -> None:
        if took <= EXACT_SECONDS:
            self.capped_seconds = _CAPPED_SECONDS
            return
        self.capped_until = time.monotonic() + self.capped_seconds
        self.capped_seconds = min(2 * self.capped_seconds, _CAPPED_SECONDS_LIMIT)


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


def read_overview(read: Reading, *, minutes: int, counting: Counting) -> Overview:
    """Return the queue at the moment of the reading."""
    started = time.monotonic()
    names = read.task_names()
    length = max(minutes, AVERAGE_MINUTES)
    with read.together():
        clock = read.send("overview_transaction", older=OLD_TRANSACTION_SECONDS)
        decided = read.send("overview", names=names)
        running = read.send("overview_running")
        past = read.send("overview_minutes", names=names, minutes=length)
        present = read.send("list_workers")
        ((at, oldest_transaction),) = clock.fetchall()
        name_rows, running_rows = decided.fetchall(), running.fetchall()
        minute_rows, worker_rows = past.fetchall(), present.fetchall()
    workers = [worker_row(row) for row in worker_rows]
    picture = _Picture(
        minutes=minutes,
        running=_running(running_rows),
        slots=_slots(worker_rows, workers),
        past=_past(minute_rows, length=length),
        counts=counting.count(read, names),
    )
    at_moment = moment(at)
    assert at_moment is not None, at  # noqa: S101 - the clock of a server is a time
    return Overview(
        at=at_moment,
        names=tuple(picture.rows(name_rows)),
        workers=tuple(workers),
        oldest_transaction_seconds=oldest_transaction,
        took_seconds=time.monotonic() - started,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """What was read about all names, to be told name by name."""

    minutes: int
    running: Counter[str]
    slots: dict[str, list[int]]
    """Of each live worker that has registered the name."""
    past: dict[str, _Minutes]
    counts: dict[str, NameCounts]

    def rows(self, name_rows: Sequence[TupleRow]) -> Iterator[NameRow]:
        """Yield the names in their order."""
        for row in sorted(name_rows, key=lambda row: row[0]):
            if row[0] or self._is_there(row):
                yield self._row(row)

    def _is_there(self, row: TupleRow) -> bool:
        """Whether the empty name, which is always looked for, has anything."""
        counts = self.counts.get(row[0], NameCounts())
        return any(count.value for count in counts) or row[0] in self.running or row[10] is not None

    def _row(self, row: TupleRow) -> NameRow:
        name, is_paused, by, reason, paused, resumes_in, limit, stream, is_known, oldest = row[:10]
        counts = self.counts.get(name, NameCounts())
        slots = self.slots.get(name, [])
        past = self.past.get(name) or _Minutes(max(self.minutes, AVERAGE_MINUTES))
        shown = len(past.done) - self.minutes
        return NameRow(
            name=name,
            ready=counts.ready,
            scheduled=counts.scheduled,
            running=self.running[name],
            retry=counts.retry,
            failed=counts.failed,
            oldest_seconds=oldest,
            limit=limit,
            stream=stream,
            slots=sum(slots),
            workers=len(slots),
            is_known=is_known,
            pause=_pause(by, reason, paused, resumes_in) if is_paused else None,
            done=tuple(past.done[shown:]),
            failed_attempts=tuple(past.failed_attempts[shown:]),
            average_seconds=past.average_seconds,
            last=last_message(row[10:14]),
            last_failed=last_message(row[14:18]),
        )


def _pause(by: str, reason: str, seconds: float, resumes_in: float | None) -> Pause:
    return Pause(by=by, reason=reason, seconds=max(0.0, seconds), resumes_in=resumes_in)


def _running(rows: Sequence[TupleRow]) -> Counter[str]:
    running: Counter[str] = Counter()
    for name, _, count in rows:
        running[name] += count
    return running


def _slots(rows: Sequence[TupleRow], workers: Sequence[WorkerRow]) -> dict[str, list[int]]:
    """Return the slots of each name on each live worker that has registered it."""
    slots: dict[str, list[int]] = {}
    for row, worker in zip(rows, workers, strict=True):
        if worker.has_lease:
            for name, count in zip(row[3], row[4], strict=False):
                slots.setdefault(name, []).append(count)
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


def _exact(rows: Sequence[TupleRow]) -> dict[str, NameCounts]:
    sums: dict[str, Counter[int]] = {}
    for name, *values in rows:
        sums.setdefault(name, Counter()).update(dict(enumerate(values)))
    return {
        name: NameCounts(*(Count(total[place]) for place in range(4)))
        for name, total in sums.items()
    }


def _capped(row: TupleRow, *, cap: int) -> NameCounts:
    _, ready, scheduled, retry, failed, is_due_capped, is_later_capped, is_failed_capped = row
    return NameCounts(
        ready=_count(ready, cap=cap, is_capped=is_due_capped),
        scheduled=_count(scheduled, cap=cap, is_capped=is_later_capped),
        retry=_count(retry, cap=cap, is_capped=is_due_capped or is_later_capped),
        failed=_count(failed, cap=cap, is_capped=is_failed_capped),
    )


def _count(value: int, *, cap: int, is_capped: bool) -> Count:
    return Count(min(value, cap), Precision.CAPPED) if is_capped else Count(value)
