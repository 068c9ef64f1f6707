"""What people see of the work: counts per minute, the log, the progress of running attempts."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from esync.driver import MinuteCount
from esync.engine.complaints import Complaints
from esync.engine.service import Service
from esync.errors import DriverError
from esync.task import TaskState
from esync.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from esync.driver import RunnerDriver
    from esync.engine.held import Ended
    from esync.engine.task import Task

_INTERVAL = 1.0
"""Seconds between two reports."""


@dataclass(slots=True)
class _Sums:
    done: int = 0
    failed: int = 0
    retried: int = 0
    cancelled: int = 0
    superseded: int = 0
    run_seconds: float = 0.0


class Reporter(Service):
    """Writes once a second, apart from the outcomes: nothing is decided by what it writes."""

    def __init__(
        self,
        driver: RunnerDriver,
        *,
        worker_id: Callable[[], UUID],
        on_outage: Callable[[DriverError], None],
    ) -> None:
        super().__init__("reporter", on_outage=on_outage)
        self._driver = driver
        self._worker_id = worker_id
        self._lock = threading.Lock()  # guards _sums and _progress
        self._sums: dict[str, _Sums] = {}
        self._progress: dict[Task, str] = {}
        self._complaints = Complaints()

    def count(self, name: str, ended: Sequence[Ended]) -> None:
        """Count attempts of a name whose outcome was recorded."""
        if not ended:
            return
        states = [one.finish.state for one in ended]
        seconds = sum(one.seconds for one in ended)
        if retried := states.count(TaskState.RETRY):
            last = next(one for one in reversed(ended) if one.finish.state is TaskState.RETRY)
            self._complaints.note(name, count=retried, message=last.finish.message)
        with self._lock:
            sums = self._sums.setdefault(name, _Sums())
            sums.done += states.count(TaskState.DONE)
            sums.failed += states.count(TaskState.FAILED)
            sums.retried += retried
            sums.run_seconds += seconds

    def count_others(self, name: str, *, superseded: int = 0, cancelled: int = 0) -> None:
        """Count tasks of a name that ended without an attempt."""
        with self._lock:
            sums = self._sums.setdefault(name, _Sums())
            sums.superseded += superseded
            sums.cancelled += cancelled

    def progress(self, task: Task, message: str) -> None:
        """Take the newest progress of an attempt."""
        text = clean(str(message))
        with self._lock:
            self._progress[task] = text

    def tick(self) -> None:
        """Wait a second, then write."""
        self._stopping.wait(_INTERVAL)
        self._complaints.say()
        self._write()

    def on_stop(self) -> None:
        """Write what is left."""
        self._complaints.say(is_last=True)
        self._write()

    def _write(self) -> None:
        with self._lock:
            progress, self._progress = self._progress, {}
            sums, self._sums = self._sums, {}
        try:
            self._write_counts(sums)
        except DriverError:
            self._put_back(sums)
            raise
        for task, message in progress.items():
            self._driver.report(
                task.id,
                attempt=task.attempt,
                worker_id=task.held.lease.worker_id,
                message=message,
            )

    def _write_counts(self, sums: dict[str, _Sums]) -> None:
        counts = [
            MinuteCount(
                name=name,
                done=one.done,
                failed=one.failed,
                retried=one.retried,
                cancelled=one.cancelled,
                superseded=one.superseded,
                run_seconds=one.run_seconds,
            )
            for name, one in sums.items()
        ]
        if counts:
            self._driver.count(counts, worker_id=self._worker_id())

    def _put_back(self, sums: dict[str, _Sums]) -> None:
        """Keep counts that could not be written; newer ones are added to them."""
        with self._lock:
            newer, self._sums = self._sums, sums
            for name, one in newer.items():
                kept = self._sums.setdefault(name, _Sums())
                for field in _Sums.__slots__:
                    setattr(kept, field, getattr(kept, field) + getattr(one, field))
