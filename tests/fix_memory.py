"""A queue in memory with a worker that ends attempts as it is told."""

from __future__ import annotations

from uuid import UUID, uuid4

from esync.driver import RunnerInfo, WorkerInfo
from esync.memory import MemoryDriver
from esync.task import Claim, Finish, TaskState
from esync.task_manager import TaskManager


class Queue:
    """Adds tasks and brings them into any state, through the driver only."""

    def __init__(self) -> None:
        self.driver = MemoryDriver()
        self.manager = TaskManager(self.driver, created_by="tests")
        self.worker_id = uuid4()

    def add(self, key: str, *, name: str = "customer.sync", **options) -> UUID:
        """Add a READY task."""
        return self.manager.add_task(name, key, **options)

    def run(self, key: str, *, name: str = "customer.sync") -> Claim:
        """Add a task and let it be IN PROGRESS."""
        self.add(key, name=name)
        self.driver.register(
            WorkerInfo(
                worker_id=self.worker_id, host="web-1", pid=7, slots=4, lease=30.0, version="0"
            ),
            [RunnerInfo(name=name, slots=4)],
        )
        claims = self.driver.pop(name, worker_id=self.worker_id, count=1000).claims
        return next(claim for claim in claims if claim.key == key)

    def end(
        self, key: str, state: TaskState, message: str = "", *, name: str = "customer.sync"
    ) -> UUID:
        """Add a task and end its attempt in a state."""
        claim = self.run(key, name=name)
        finish = Finish(
            task_id=claim.task_id, attempt=claim.attempt, state=state, message=message, delay=3600.0
        )
        assert self.driver.finish([finish], worker_id=self.worker_id) == {claim.task_id}
        return claim.task_id

    def fail(self, key: str, message: str = "no", *, name: str = "customer.sync") -> UUID:
        """Add a task that is FAILED."""
        return self.end(key, TaskState.FAILED, message, name=name)

    def state(self, task_id: UUID) -> str:
        """The state of a task."""
        detail = self.driver.get_task(task_id)
        assert detail is not None
        return detail.row.state
