"""Outcomes: what an attempt leaves on its row, and when the next one comes."""

from __future__ import annotations

import json

from esync.task import TaskState
from esync.testing.harness import Harness, Worker, add, detail_of, row_of, state_of


class OutcomesSpecification:
    """What finish and release write."""

    def test_each_outcome_is_the_state_of_its_task(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        for state in (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED, TaskState.RETRY):
            task_id = add(harness.driver, state)
            worker.finish(worker.claim(), state, message=f"it is {state}", delay=60)
            row = row_of(harness.driver, task_id)
            assert (row.state, row.message) == (state, f"it is {state}")

    def test_a_finished_task_is_not_popped_again(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        for state in (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED):
            add(harness.driver, state)
            worker.finish(worker.claim(), state)
        harness.let_pass(86400)
        assert worker.take() == []

    def test_a_retry_waits_for_its_delay(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        worker.retry(worker.claim(), delay=60)
        harness.let_pass(50)
        assert worker.pop().claims == ()
        harness.let_pass(11)
        assert worker.claim().task_id == task_id

    def test_a_retry_counts_one_attempt_and_one_try_more(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        add(harness.driver)
        for expected in ((1, 0), (2, 1), (3, 2)):
            claim = worker.claim()
            assert (claim.attempt, claim.tries) == expected
            worker.retry(claim)

    def test_a_failure_counts_as_a_try_and_a_success_does_not(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        failed, done = add(harness.driver, "failed"), add(harness.driver, "done")
        for claim in worker.take():
            state = TaskState.DONE if claim.key == "done" else TaskState.FAILED
            worker.finish(claim, state)
        assert row_of(harness.driver, failed).tries == 1
        assert row_of(harness.driver, done).tries == 0

    def test_the_last_twenty_unsuccessful_attempts_are_remembered(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        for i in range(23):
            error = json.dumps({"attempt": i + 1, "message": f"Größe {i}"})
            worker.finish(worker.claim(), TaskState.RETRY, error=error)
        errors = detail_of(harness.driver, task_id).errors
        assert [error["message"] for error in errors] == [f"Größe {i}" for i in range(3, 23)]

    def test_a_success_writes_no_error_and_keeps_the_old_ones(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        worker.finish(worker.claim(), TaskState.RETRY, error='{"message": "once"}')
        worker.finish(worker.claim(), TaskState.DONE)
        errors = detail_of(harness.driver, task_id).errors
        assert [error["message"] for error in errors] == ["once"]

    def test_the_worker_stays_on_a_finished_task(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        worker.finish(worker.claim())
        assert row_of(harness.driver, task_id).worker in ("host:7", str(worker.id))

    def test_a_release_gives_a_fresh_task_back_as_ready(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        before = row_of(harness.driver, task_id)
        assert worker.release(worker.claim())
        after = row_of(harness.driver, task_id)
        assert (after.state, after.tries, after.crashes) == (TaskState.READY, 0, 0)
        assert after.do_after == before.do_after
        assert after.worker == ""

    def test_a_release_gives_a_tried_task_back_as_retry(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        worker.retry(worker.claim())
        assert worker.release(worker.claim())
        row = row_of(harness.driver, task_id)
        assert (row.state, row.tries) == (TaskState.RETRY, 1)

    def test_a_release_does_not_lower_the_fence(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        add(harness.driver)
        first = worker.claim()
        worker.release(first)
        second = worker.claim()
        assert second.attempt == first.attempt + 1
        assert second.tries == 0

    def test_a_release_happens_once(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        claim = worker.claim()
        assert worker.release(claim)
        assert not worker.release(claim)
        assert state_of(harness.driver, task_id) == TaskState.READY

    def test_a_finished_task_is_not_released(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        claim = worker.claim()
        worker.finish(claim)
        assert not worker.release(claim)
        assert state_of(harness.driver, task_id) == TaskState.DONE
