"""The producer side: adding tasks, alone, in bulk, or with the caller's own transaction."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from esync.errors import SettingError, TaskValueError
from esync.payload import DATA_LIMIT_BYTES
from esync.task import DEFAULT_PRIORITY, NewTask, check_created_by, default_created_by, new_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime, timedelta
    from typing import TypeAlias
    from uuid import UUID

    from esync.driver import ProducerDriver

    Request: TypeAlias = NewTask | tuple[str, str] | tuple[str, str, Mapping[str, Any] | None]
    """A checked task, or (name, key) or (name, key, data)."""

HIGHEST_DATA_LIMIT_BYTES = 64 * 1024 * 1024
"""PostgreSQL stores more, but nothing that reads it back stays pleasant."""

_SHORTEST_REQUEST = 2
_LONGEST_REQUEST = 3


class TaskManager:
    """Adds tasks through a driver; safe to use from any thread.

    Everything is checked before it is stored: a bad name, key, payload, delay or priority raises
    TaskValueError and stores nothing.
    """

    def __init__(
        self,
        driver: ProducerDriver,
        *,
        created_by: str | None = None,
        data_limit_bytes: int = DATA_LIMIT_BYTES,
    ) -> None:
        if not 1 <= data_limit_bytes <= HIGHEST_DATA_LIMIT_BYTES:
            raise SettingError(
                f"data_limit_bytes must be 1 to {HIGHEST_DATA_LIMIT_BYTES}, got {data_limit_bytes}"
            )
        self._driver = driver
        self._created_by = (
            default_created_by() if created_by is None else check_created_by(created_by)
        )
        self._data_limit_bytes = data_limit_bytes

    def add_task(
        self,
        name: str,
        key: str,
        data: Mapping[str, Any] | None = None,
        *,
        after: datetime | timedelta | float | None = None,
        priority: int = DEFAULT_PRIORITY,
    ) -> UUID:
        """Store one request and return its id; it is durable when this returns.

        `after` is when it becomes due: an aware datetime, or a delay as seconds or timedelta.
        Within a transaction of the caller it is durable when that transaction commits.
        """
        task = self.new_task(name, key, data, after=after, priority=priority)
        self._driver.add(task)
        return task.task_id

    def add_tasks(self, tasks: Iterable[Request]) -> int:
        """Store many requests, all or none, and return how many.

        Each is (name, key), (name, key, data) or what `new_task` returns. Later ones are newer.
        They are checked on their way to the database, which works meanwhile; a bad one ends it
        all, so that nothing is stored.
        """
        # No transaction waits for whatever an iterator does to get its next request.
        requests = tasks if isinstance(tasks, list | tuple) else list(tasks)
        if not requests:
            return 0
        return self._driver.add_many(map(self._check, count(), requests))

    def new_task(
        self,
        name: str,
        key: str,
        data: Mapping[str, Any] | None = None,
        *,
        after: datetime | timedelta | float | None = None,
        priority: int = DEFAULT_PRIORITY,
    ) -> NewTask:
        """Return a checked request for `add_tasks`; nothing is stored."""
        return new_task(
            name,
            key,
            data,
            created_by=self._created_by,
            after=after,
            priority=priority,
            data_limit_bytes=self._data_limit_bytes,
        )

    def within(self, connection: Any) -> TaskManager:
        """Return a task manager whose requests belong to the caller's transaction.

        They are committed, or not, together with the caller's own changes.
        """
        return TaskManager(
            self._driver.within(connection),
            created_by=self._created_by,
            data_limit_bytes=self._data_limit_bytes,
        )

    def get_task_count(self, name: str | None = None) -> int:
        """Return how many tasks are READY, RETRY or IN PROGRESS, of one name or of all."""
        return self._driver.get_task_count(name)

    def _check(self, position: int, task: Request) -> NewTask:
        """Check one request of many, naming its position (from 0) when it is bad."""
        if isinstance(task, NewTask):
            return task
        if (
            not isinstance(task, tuple | list)
            or not _SHORTEST_REQUEST <= len(task) <= _LONGEST_REQUEST
        ):
            raise TaskValueError(
                f"task {position}: a request must be a NewTask, (name, key) or (name, key, data),"
                f" got {type(task).__name__}"
            )
        try:
            return self.new_task(*task)
        except TaskValueError as exc:
            msg = f"task {position}: {exc}"
            raise TaskValueError(msg) from None
