"""What the specification needs of a driver's author, and the words its tests are written in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from esync.driver import RunnerInfo, WorkerInfo
from esync.snapshot import Attribution, NameRow
from esync.task import Claim, Finish, NewTask, Release, TaskState, new_task, new_task_id

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from esync.driver import Driver, Place, Popped
    from esync.snapshot import TaskDetail, TaskRow

NAME = "SPEC"
"""The task name of tests that need only one."""
OTHER = "OTHER"

LONG_LEASE = 3e7
"""Seconds: about a year, for tests in which time passes but no worker is lost."""

OPERATOR = Attribution(who="ada", host="desk", via="library", reason="because")


class Harness(Protocol):
    """A driver under test, and power over the time that its store sees."""

    @property
    def driver(self) -> Driver:
        """The driver; its queue was empty when the test began."""

    def let_pass(self, seconds: float) -> None:
        """Age everything that is stored by so many seconds, or move the store's clock on."""


class Worker:
    """A registered worker that pops and finishes by hand."""

    def __init__(
        self,
        driver: Driver,
        *names: str,
        lease: float = LONG_LEASE,
        slots: int = 4,
        stream: str | None = None,
    ) -> None:
        self.id = new_task_id()
        self._driver = driver
        driver.register(
            WorkerInfo(
                worker_id=self.id, host="host", pid=7, slots=slots, lease=lease, version="0"
            ),
            [RunnerInfo(name=name, slots=slots, stream=stream) for name in (names or (NAME,))],
        )

    def pop(
        self,
        name: str = NAME,
        *,
        count: int = 10,
        limit: int | None = None,
        stream: str | None = None,
        skip_keys: Collection[str] = (),
        suspects: bool = False,
        after: Place | None = None,
    ) -> Popped:
        """Pop once."""
        return self._driver.pop(
            name,
            worker_id=self.id,
            count=count,
            limit=limit,
            stream=stream,
            skip_keys=skip_keys,
            suspects=suspects,
            after=after,
        )

    def take(
        self,
        name: str = NAME,
        *,
        count: int = 10,
        limit: int | None = None,
        stream: str | None = None,
    ) -> list[Claim]:
        """Pop as a runner does: again while there may be more, leaving out what was blocked."""
        claims: list[Claim] = []
        blocked: set[str] = set()
        while len(claims) < count:
            asked = count - len(claims)
            popped = self.pop(name, count=asked, limit=limit, stream=stream, skip_keys=blocked)
            claims += popped.claims
            if popped.superseded and len(popped.claims) < asked:
                continue  # of a key that was blocked there may be more to supersede
            has_news = popped.claims or not blocked.issuperset(popped.blocked)
            blocked.update(popped.blocked)
            if popped.is_limited or not has_news:
                break
        return claims

    def claim(self, name: str = NAME, *, suspects: bool = False) -> Claim:
        """Pop the one task that there is."""
        popped = self.pop(name, suspects=suspects)
        assert len(popped.claims) == 1, f"one claim was expected, got {popped}"
        return popped.claims[0]

    def finish(
        self,
        claim: Claim,
        state: TaskState = TaskState.DONE,
        *,
        message: str = "",
        delay: float = 0.0,
        error: str | None = None,
    ) -> bool:
        """Record one outcome; return whether it was recorded."""
        outcome = Finish(
            task_id=claim.task_id,
            attempt=claim.attempt,
            state=state,
            message=message,
            delay=delay,
            error=error,
        )
        return claim.task_id in self._driver.finish([outcome], worker_id=self.id)

    def fail(self, claim: Claim, *, message: str = "failed") -> bool:
        """End a task FAILED."""
        return self.finish(claim, TaskState.FAILED, message=message)

    def retry(self, claim: Claim, *, delay: float = 0.0, message: str = "again") -> bool:
        """End an attempt with RETRY."""
        return self.finish(claim, TaskState.RETRY, message=message, delay=delay)

    def release(self, claim: Claim) -> bool:
        """Give one claim back unstarted; return whether it was given back."""
        given = self._driver.release([Release(claim.task_id, claim.attempt)], worker_id=self.id)
        return claim.task_id in given


def request(
    key: str = "k",
    *,
    name: str = NAME,
    data: dict[str, Any] | None = None,
    after: datetime | float | None = None,
    priority: int = 5,
) -> NewTask:
    """Return a request that was not added yet."""
    return new_task(name, key, data, created_by="spec@host", after=after, priority=priority)


def add(
    driver: Driver,
    key: str = "k",
    *,
    name: str = NAME,
    data: dict[str, Any] | None = None,
    after: datetime | float | None = None,
    priority: int = 5,
) -> UUID:
    """Add a request; return its id."""
    task = request(key, name=name, data=data, after=after, priority=priority)
    driver.add(task)
    return task.task_id


def detail_of(driver: Driver, task_id: UUID) -> TaskDetail:
    """Return everything about a task that must be there."""
    detail = driver.get_task(task_id)
    assert detail is not None, f"task {task_id} is gone"
    return detail


def row_of(driver: Driver, task_id: UUID) -> TaskRow:
    """Return the row of a task that must be there."""
    return detail_of(driver, task_id).row


def state_of(driver: Driver, task_id: UUID) -> str:
    """Return the state of a task that must be there."""
    return row_of(driver, task_id).state


def name_row(driver: Driver, name: str = NAME) -> NameRow:
    """Return one task name of the overview."""
    rows = [row for row in driver.get_overview().names if row.name == name]
    assert len(rows) == 1, f"one row of {name} was expected, got {rows}"
    return rows[0]
