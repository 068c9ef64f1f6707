"""Fencing: only the attempt that owns a task may write, and a lost reply is not a failure."""

from __future__ import annotations

from esync.errors import DriverError
from esync.task import Finish, Release, TaskState, new_task_id
from esync.testing.harness import (
    OPERATOR,
    Harness,
    Worker,
    add,
    detail_of,
    request,
    row_of,
    state_of,
)

ENDINGS = (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED, TaskState.RETRY)


class FencingSpecification:
    """P5."""

    def test_an_attempt_that_lost_its_lease_cannot_finish(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        lost = Worker(harness.driver, lease=30)
        stale = lost.claim()
        harness.let_pass(31)
        harness.driver.rescue(max_crashes=3)
        for state in ENDINGS:
            assert not lost.finish(stale, state)
        assert state_of(harness.driver, task_id) == TaskState.RETRY

    def test_an_attempt_cannot_finish_for_its_successor(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        worker = Worker(harness.driver)
        stale = worker.claim()
        worker.release(stale)
        current = worker.claim()
        assert not worker.finish(stale)
        assert not worker.release(stale)
        assert state_of(harness.driver, task_id) == TaskState.IN_PROGRESS
        assert worker.finish(current)

    def test_another_worker_cannot_finish_or_release(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        owner, other = Worker(harness.driver), Worker(harness.driver)
        claim = owner.claim()
        assert not other.finish(claim)
        assert not other.release(claim)
        assert state_of(harness.driver, task_id) == TaskState.IN_PROGRESS

    def test_a_finish_that_is_repeated_is_reported_as_recorded(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        for state in ENDINGS:
            add(harness.driver, state)
            claim = worker.claim()
            assert worker.finish(claim, state, delay=60)
            assert worker.finish(claim, state, delay=60), state

    def test_a_repeated_finish_writes_nothing(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        claim = worker.claim()
        worker.finish(claim, TaskState.RETRY, message="one", delay=60, error='{"message": "one"}')
        before = detail_of(harness.driver, task_id)
        worker.finish(claim, TaskState.RETRY, message="two", delay=90, error='{"message": "two"}')
        assert detail_of(harness.driver, task_id) == before

    def test_a_second_outcome_is_not_recorded(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        claim = worker.claim()
        worker.finish(claim, TaskState.DONE)
        assert not worker.finish(claim, TaskState.FAILED)
        assert state_of(harness.driver, task_id) == TaskState.DONE

    def test_a_late_retry_does_not_read_a_rescue_as_its_own(self, harness: Harness) -> None:
        add(harness.driver)
        lost = Worker(harness.driver, lease=30)
        claim = lost.claim()
        harness.let_pass(31)
        harness.driver.rescue(max_crashes=3)
        assert not lost.retry(claim)

    def test_a_late_cancel_does_not_read_an_operators_as_its_own(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        claim = worker.claim()
        worker.release(claim)
        harness.driver.cancel([task_id], by=OPERATOR)
        assert not worker.finish(claim, TaskState.CANCELLED)

    def test_a_requeue_does_not_let_a_stale_finish_in(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        stale = worker.claim()
        worker.fail(stale)
        harness.driver.requeue([task_id], by=OPERATOR)
        assert not worker.fail(stale)
        assert worker.claim().attempt == stale.attempt + 1
        assert not worker.fail(stale)
        assert state_of(harness.driver, task_id) == TaskState.IN_PROGRESS

    def test_one_lost_attempt_does_not_hold_up_its_batch(self, harness: Harness) -> None:
        harness.driver.add_many(request(f"k{i}") for i in range(3))
        worker = Worker(harness.driver)
        claims = worker.take()
        worker.release(claims[1])
        outcomes = [
            Finish(task_id=c.task_id, attempt=c.attempt, state=TaskState.DONE, message="")
            for c in claims
        ]
        recorded = harness.driver.finish(outcomes, worker_id=worker.id)
        assert recorded == {claims[0].task_id, claims[2].task_id}

    def test_a_batch_with_a_bad_message_is_recorded_whole_or_not_at_all(
        self, harness: Harness
    ) -> None:
        harness.driver.add_many(request(f"k{i}") for i in range(2))
        worker = Worker(harness.driver)
        claims = worker.take()
        for bad in ("nul \x00", "surrogate \ud800"):
            outcomes = [
                Finish(task_id=c.task_id, attempt=c.attempt, state=TaskState.DONE, message=message)
                for c, message in zip(claims, ("good", bad), strict=True)
            ]
            try:
                harness.driver.finish(outcomes, worker_id=worker.id)
            except DriverError:
                expected = TaskState.IN_PROGRESS
            else:
                expected = TaskState.DONE
            states = {state_of(harness.driver, claim.task_id) for claim in claims}
            assert states == {expected}

    def test_finishing_and_releasing_nothing_returns_nothing(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        assert harness.driver.finish([], worker_id=worker.id) == set()
        assert harness.driver.release([], worker_id=worker.id) == set()

    def test_a_task_that_is_not_there_is_not_finished(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        ghost = new_task_id()
        outcome = Finish(task_id=ghost, attempt=1, state=TaskState.DONE, message="")
        assert harness.driver.finish([outcome], worker_id=worker.id) == set()
        assert harness.driver.release([Release(ghost, 1)], worker_id=worker.id) == set()

    def test_progress_is_shown_while_the_attempt_runs(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        claim = worker.claim()
        harness.driver.report(task_id, attempt=claim.attempt, worker_id=worker.id, message="50 %")
        assert row_of(harness.driver, task_id).message == "50 %"

    def test_progress_of_a_lost_attempt_is_dropped(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        claim = worker.claim()
        worker.finish(claim, message="the end")
        harness.driver.report(task_id, attempt=claim.attempt, worker_id=worker.id, message="99 %")
        assert row_of(harness.driver, task_id).message == "the end"
