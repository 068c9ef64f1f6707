"""Crashes: tasks of lost workers come back, suspects run alone, poison ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esync.errors import WorkerGoneError
from esync.task import TaskState, new_task_id
from esync.testing.harness import (
    NAME,
    OPERATOR,
    Harness,
    Worker,
    add,
    detail_of,
    request,
    row_of,
    state_of,
)

if TYPE_CHECKING:
    from uuid import UUID

    from esync.driver import Driver

LEASE = 30.0


class CrashesSpecification:
    """Presence, rescue and suspects."""

    def test_the_tasks_of_a_lost_worker_are_given_back(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        Worker(harness.driver, lease=LEASE).claim()
        harness.let_pass(LEASE + 1)
        rescued = harness.driver.rescue(max_crashes=3)
        assert (rescued.workers, rescued.retried, rescued.failed) == (1, 1, 0)
        row = row_of(harness.driver, task_id)
        assert (row.state, row.crashes, row.tries) == (TaskState.RETRY, 1, 1)
        assert row.worker == ""

    def test_a_look_tells_of_a_lost_worker(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        Worker(harness.driver, lease=LEASE)
        seen = []
        for seconds in (LEASE - 1, 2):
            harness.let_pass(seconds)
            seen.append(_is_one_lost(harness.driver, worker))
        assert seen == [False, True]

    def test_a_lost_worker_is_rescued_from_without_a_sweep(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        Worker(harness.driver, lease=LEASE)
        harness.let_pass(LEASE + 1)
        assert harness.driver.rescue(max_crashes=3, sweep=False).workers == 1
        assert not _is_one_lost(harness.driver, worker)

    def test_without_a_sweep_a_rescue_is_of_lost_workers_only(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        worker.claim()
        harness.driver.leave(worker.id)
        assert harness.driver.rescue(max_crashes=3, sweep=False) == (0, 0, 0)
        assert state_of(harness.driver, task_id) == TaskState.IN_PROGRESS
        assert harness.driver.rescue(max_crashes=3).retried == 1

    def test_a_sweep_is_left_to_the_first_worker_that_lives(self, harness: Harness) -> None:
        slow = Worker(harness.driver, lease=2 * LEASE)
        first = Worker(harness.driver, lease=LEASE)
        task_id = _orphan(harness)
        assert not any(harness.driver.rescue(max_crashes=3, worker_id=slow.id))
        assert state_of(harness.driver, task_id) == TaskState.IN_PROGRESS
        assert harness.driver.rescue(max_crashes=3, worker_id=first.id).retried == 1

    def test_of_equal_leases_the_smallest_id_sweeps(self, harness: Harness) -> None:
        ids = sorted(Worker(harness.driver).id for _ in range(3))
        _orphan(harness)
        found = [harness.driver.rescue(max_crashes=3, worker_id=one) for one in reversed(ids)]
        assert [rescued.retried for rescued in found] == [0, 0, 1]

    def test_who_leaves_leaves_the_sweeps_to_the_next(self, harness: Harness) -> None:
        slow = Worker(harness.driver, lease=3 * LEASE)
        leaving = Worker(harness.driver, lease=LEASE)
        _orphan(harness)
        harness.driver.leave(leaving.id, is_running=True)
        assert harness.driver.rescue(max_crashes=3, worker_id=slow.id).retried == 1

    def test_a_rescue_keeps_the_due_time(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        Worker(harness.driver, lease=LEASE).claim()
        harness.let_pass(LEASE + 1)
        before = row_of(harness.driver, task_id).do_after
        harness.driver.rescue(max_crashes=3)
        assert row_of(harness.driver, task_id).do_after == before

    def test_a_live_worker_keeps_its_tasks(self, harness: Harness) -> None:
        worker = Worker(harness.driver, lease=LEASE)
        task_id = add(harness.driver)
        claim = worker.claim()
        harness.let_pass(LEASE / 2)
        assert harness.driver.rescue(max_crashes=3) == (0, 0, 0)
        assert state_of(harness.driver, task_id) == TaskState.IN_PROGRESS
        assert worker.finish(claim)

    def test_a_heartbeat_renews_the_lease(self, harness: Harness) -> None:
        worker = Worker(harness.driver, lease=LEASE)
        add(harness.driver)
        claim = worker.claim()
        for _ in range(3):
            harness.let_pass(LEASE - 5)
            assert harness.driver.beat(worker.id, names=[NAME])
        assert harness.driver.rescue(max_crashes=3).workers == 0
        assert worker.finish(claim)

    def test_a_rescued_worker_learns_it_from_its_heartbeat(self, harness: Harness) -> None:
        worker = Worker(harness.driver, lease=LEASE)
        harness.let_pass(LEASE + 1)
        harness.driver.rescue(max_crashes=3)
        assert not harness.driver.beat(worker.id, names=[NAME])
        assert harness.driver.list_workers() == ()

    def test_a_rescue_happens_once(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        Worker(harness.driver, lease=LEASE).claim()
        harness.let_pass(LEASE + 1)
        harness.driver.rescue(max_crashes=3)
        assert harness.driver.rescue(max_crashes=3) == (0, 0, 0)
        assert row_of(harness.driver, task_id).crashes == 1

    def test_pop_is_refused_without_a_live_row(self, harness: Harness) -> None:
        add(harness.driver)
        worker = Worker(harness.driver, lease=LEASE)
        harness.let_pass(LEASE + 1)
        assert _is_gone(worker), "its lease has run out"
        harness.driver.rescue(max_crashes=3)
        assert _is_gone(worker), "its row was rescued"
        worker.id = new_task_id()
        assert _is_gone(worker), "it was never registered"

    def test_a_crash_is_remembered_among_the_errors(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        _crash(harness)
        assert len(detail_of(harness.driver, task_id).errors) == 1

    def test_a_task_that_crashes_too_many_workers_fails(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        for expected in (TaskState.RETRY, TaskState.RETRY, TaskState.FAILED):
            _crash(harness)
            assert state_of(harness.driver, task_id) == expected
        row = row_of(harness.driver, task_id)
        assert (row.attempts, row.crashes) == (3, 3)

    def test_a_suspect_is_not_popped_with_the_others(self, harness: Harness) -> None:
        add(harness.driver, "suspect")
        _crash(harness)
        harness.driver.add_many(request(f"k{i}") for i in range(3))
        popped = Worker(harness.driver).pop()
        assert [claim.key for claim in popped.claims] == ["k0", "k1", "k2"]
        assert popped.suspects == 1

    def test_a_suspect_is_popped_alone(self, harness: Harness) -> None:
        harness.driver.add_many([request("one"), request("two")])
        _crash(harness)
        add(harness.driver, "innocent")
        popped = Worker(harness.driver).pop(suspects=True)
        (claim,) = popped.claims
        assert claim.key in ("one", "two")
        assert (claim.crashes, claim.tries) == (1, 1)

    def test_without_suspects_none_is_popped(self, harness: Harness) -> None:
        add(harness.driver, "innocent")
        assert Worker(harness.driver).pop(suspects=True).claims == ()

    def test_any_finish_clears_the_suspicion(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        _crash(harness)
        worker = Worker(harness.driver)
        worker.retry(worker.claim(suspects=True))
        assert row_of(harness.driver, task_id).crashes == 0
        assert worker.claim().task_id == task_id

    def test_a_release_does_not_clear_the_suspicion(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        _crash(harness)
        worker = Worker(harness.driver)
        worker.release(worker.claim(suspects=True))
        row = row_of(harness.driver, task_id)
        assert (row.state, row.crashes) == (TaskState.RETRY, 1)

    def test_a_requeue_clears_the_suspicion(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        for _ in range(3):
            _crash(harness)
        harness.driver.requeue([task_id], by=OPERATOR)
        claim = Worker(harness.driver).claim()
        assert (claim.task_id, claim.attempt, claim.tries, claim.crashes) == (task_id, 4, 0, 0)

    def test_a_newer_request_of_a_suspect_is_no_suspect(self, harness: Harness) -> None:
        add(harness.driver)
        _crash(harness)
        newer = add(harness.driver)
        assert Worker(harness.driver).claim().task_id == newer

    def test_a_worker_that_leaves_is_gone(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        harness.driver.leave(worker.id)
        assert harness.driver.list_workers() == ()
        assert _is_gone(worker)
        assert not harness.driver.beat(worker.id, names=[NAME])

    def test_leaving_is_legal_before_entering_and_twice(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        for worker_id in (worker.id, worker.id, new_task_id()):
            harness.driver.leave(worker_id)
        assert harness.driver.list_workers() == ()

    def test_the_tasks_of_a_leaving_worker_come_back_at_once_uncharged(
        self, harness: Harness
    ) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        claim = worker.claim()
        harness.driver.leave(worker.id, is_running=True)
        assert _is_gone(worker)
        harness.let_pass(1)
        assert harness.driver.rescue(max_crashes=1).failed == 0
        row = row_of(harness.driver, task_id)
        assert row.state in (TaskState.READY, TaskState.RETRY)
        assert (row.crashes, row.tries) == (0, 0)
        assert not worker.finish(claim)
        assert harness.driver.list_workers() == ()

    def test_a_leaving_worker_may_still_finish_until_it_is_rescued(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        add(harness.driver)
        claim = worker.claim()
        harness.driver.leave(worker.id, is_running=True)
        assert worker.finish(claim)

    def test_tasks_left_behind_by_a_worker_that_left_are_not_lost(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        worker.claim()
        harness.driver.leave(worker.id)
        harness.driver.rescue(max_crashes=3)
        assert state_of(harness.driver, task_id) in (TaskState.READY, TaskState.RETRY)

    def test_a_task_whose_cancel_was_asked_is_cancelled_by_its_rescue(
        self, harness: Harness
    ) -> None:
        task_id = add(harness.driver)
        Worker(harness.driver, lease=LEASE).claim()
        harness.driver.cancel([task_id], by=OPERATOR)
        harness.let_pass(LEASE + 1)
        harness.driver.rescue(max_crashes=3)
        row = row_of(harness.driver, task_id)
        assert (row.state, row.cancel_requested) == (TaskState.CANCELLED, None)


def _crash(harness: Harness) -> list[UUID]:
    """Let a worker claim everything that is due, suspects too, and be lost."""
    worker = Worker(harness.driver, lease=LEASE)
    claims = [*worker.take(), *worker.pop(suspects=True).claims]
    assert claims
    harness.let_pass(LEASE + 1)
    harness.driver.rescue(max_crashes=3)
    return [claim.task_id for claim in claims]


def _is_one_lost(driver: Driver, worker: Worker) -> bool:
    return driver.look([], worker_id=worker.id).has_lost_worker


def _is_gone(worker: Worker) -> bool:
    try:
        worker.pop()
    except WorkerGoneError:
        return True
    return False


def _orphan(harness: Harness) -> UUID:
    """Return a task that is IN PROGRESS, and whose worker has no row."""
    task_id = add(harness.driver)
    worker = Worker(harness.driver, lease=LEASE)
    worker.claim()
    harness.driver.leave(worker.id)
    return task_id
