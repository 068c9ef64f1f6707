"""Adding tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esync.errors import DriverError
from esync.memory.rows import Row
from esync.memory.store import StorePart, check_storable
from esync.snapshot import PENDING
from esync.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from esync.driver import ProducerDriver
    from esync.task import NewTask


class MemoryProducer(StorePart):
    """The producer side of the memory driver."""

    def add(self, task: NewTask) -> None:
        """Store one request."""
        self.add_many([task])

    def add_many(self, tasks: Iterable[NewTask]) -> int:
        """Store many requests, all or none; return how many."""
        tasks = list(tasks)
        store = self._store
        with store.lock:
            self._check(tasks)
            now = store.now()
            for task in tasks:
                store.insert(_row(task, now=now, seq=store.next_seq()))
            for name in dict.fromkeys(task.name for task in tasks):
                if store.sleepers.get(name):
                    store.notify(name)
        return len(tasks)

    def within(self, connection: Any) -> ProducerDriver:  # noqa: ARG002 - there is none to join
        """Return this driver: without a database, a request counts at once, whatever follows."""
        return self

    def get_task_count(self, name: str | None = None) -> int:
        """Return how many tasks are READY, RETRY or IN PROGRESS, of one name or of all."""
        live = (*PENDING, TaskState.IN_PROGRESS)
        with self._store.lock:
            return sum(
                row.state in live and (name is None or row.name == name)
                for row in self._store.rows.values()
            )

    def _check(self, tasks: Sequence[NewTask]) -> None:
        ids = {task.task_id for task in tasks}
        if len(ids) < len(tasks) or not ids.isdisjoint(self._store.rows):
            raise DriverError("a task with the same id exists already")
        for task in tasks:
            check_storable(task.name, task.key, task.raw_data, task.created_by)


def _row(task: NewTask, *, now: float, seq: int) -> Row:
    due = task.do_after.timestamp() if task.do_after else now + task.delay
    return Row(
        task_id=task.task_id,
        name=task.name,
        key=task.key,
        raw_data=task.raw_data,
        created_at=now,
        created_by=task.created_by,
        do_after=due,
        priority=task.priority,
        seq=seq,
    )
