"""Latest wins: of the due requests of a key only the newest is performed; no request is lost."""

from __future__ import annotations

from uuid import UUID

from esync.task import TaskState
from esync.testing.harness import (
    NAME,
    OPERATOR,
    OTHER,
    Harness,
    Worker,
    add,
    request,
    row_of,
    state_of,
)


class LatestWinsSpecification:
    """P2, P3 and P9."""

    def test_only_the_newest_due_request_of_a_key_is_performed(self, harness: Harness) -> None:
        for _ in range(3):
            newest = add(harness.driver)
        worker = Worker(harness.driver)
        popped = worker.pop()
        assert [claim.task_id for claim in popped.claims] == [newest]
        assert popped.superseded == 2
        worker.finish(popped.claims[0])
        assert worker.take() == []

    def test_a_superseded_request_is_cancelled_and_names_its_successor(
        self, harness: Harness
    ) -> None:
        older, newest = add(harness.driver), add(harness.driver)
        Worker(harness.driver).pop()
        row = row_of(harness.driver, older)
        assert (row.state, row.superseded_by) == (TaskState.CANCELLED, newest)
        assert row.message == f"Superseded by {newest}"
        assert row.attempts == 0

    def test_requests_of_other_keys_are_left_alone(self, harness: Harness) -> None:
        first, second = add(harness.driver, "a"), add(harness.driver, "b")
        popped = Worker(harness.driver).pop()
        assert [claim.task_id for claim in popped.claims] == [first, second]
        assert popped.superseded == 0

    def test_a_retry_is_superseded_however_far_off_its_next_attempt_was(
        self, harness: Harness
    ) -> None:
        worker = Worker(harness.driver)
        retry = add(harness.driver)
        worker.retry(worker.claim(), delay=86400)
        newer = add(harness.driver)
        assert worker.claim().task_id == newer
        assert row_of(harness.driver, retry).superseded_by == newer

    def test_a_rescued_task_is_superseded_by_a_newer_request(self, harness: Harness) -> None:
        rescued = add(harness.driver)
        Worker(harness.driver, lease=30).claim()
        newer = add(harness.driver)
        harness.let_pass(31)
        harness.driver.rescue(max_crashes=3)
        assert Worker(harness.driver).claim().task_id == newer
        assert row_of(harness.driver, rescued).superseded_by == newer

    def test_a_released_task_is_superseded_by_a_newer_request(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        add(harness.driver)
        claim = worker.claim()
        newer = add(harness.driver)
        worker.release(claim)
        assert worker.claim().task_id == newer
        assert row_of(harness.driver, claim.task_id).superseded_by == newer

    def test_a_requeued_task_keeps_its_place_and_is_superseded(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        older = add(harness.driver)
        worker.fail(worker.claim())
        newer = add(harness.driver)
        harness.driver.requeue([older], by=OPERATOR)
        assert worker.claim().task_id == newer
        assert row_of(harness.driver, older).superseded_by == newer

    def test_a_newer_request_whose_time_has_not_come_hides_nothing(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        now, later = add(harness.driver), add(harness.driver, after=60.0)
        claim = worker.claim()
        assert claim.task_id == now
        worker.finish(claim)
        harness.let_pass(61)
        assert worker.claim().task_id == later

    def test_a_retry_that_is_due_runs_before_a_newer_request_that_is_not(
        self, harness: Harness
    ) -> None:
        worker = Worker(harness.driver)
        retry = add(harness.driver)
        worker.retry(worker.claim())
        add(harness.driver, after=60.0)
        assert worker.claim().task_id == retry

    def test_an_older_request_for_a_later_time_is_performed_as_well(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        later, now = add(harness.driver, after=60.0), add(harness.driver)
        claim = worker.claim()
        assert claim.task_id == now
        worker.finish(claim)
        assert state_of(harness.driver, later) == TaskState.READY
        harness.let_pass(61)
        assert worker.claim().task_id == later

    def test_an_older_request_whose_time_has_come_does_not_hide_a_newer_retry(
        self, harness: Harness
    ) -> None:
        worker = Worker(harness.driver)
        older, newer = add(harness.driver, after=60.0), add(harness.driver)
        worker.retry(worker.claim(), delay=3600)
        harness.let_pass(61)
        assert worker.claim().task_id == older
        assert state_of(harness.driver, newer) == TaskState.RETRY

    def test_a_request_made_during_an_attempt_is_performed_afterwards(
        self, harness: Harness
    ) -> None:
        worker = Worker(harness.driver)
        add(harness.driver)
        claim = worker.claim()
        during = add(harness.driver)
        worker.finish(claim)
        assert worker.claim().task_id == during

    def test_of_the_requests_made_during_an_attempt_the_newest_is_performed(
        self, harness: Harness
    ) -> None:
        worker = Worker(harness.driver)
        add(harness.driver)
        claim = worker.claim()
        between, last = add(harness.driver), add(harness.driver)
        worker.pop()
        worker.finish(claim)
        assert worker.claim().task_id == last
        assert row_of(harness.driver, between).superseded_by == last

    def test_finishing_touches_no_other_request_of_the_key(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        for state in (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED, TaskState.RETRY):
            add(harness.driver, state)
            claim = worker.claim()
            other = add(harness.driver, state, after=60.0)
            worker.finish(claim, state, delay=3600)
            assert state_of(harness.driver, other) == TaskState.READY

    def test_the_running_attempt_is_never_superseded(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        running = add(harness.driver)
        claim = worker.claim()
        add(harness.driver)
        worker.pop()
        assert state_of(harness.driver, running) == TaskState.IN_PROGRESS
        assert worker.finish(claim)

    def test_the_same_key_under_two_names_is_two_tasks(self, harness: Harness) -> None:
        worker = Worker(harness.driver, NAME, OTHER)
        one, two = add(harness.driver, name=NAME), add(harness.driver, name=OTHER)
        assert worker.claim(NAME).task_id == one
        assert worker.claim(OTHER).task_id == two

    def test_arrival_decides_what_is_newest_not_the_id(self, harness: Harness) -> None:
        first = request()._replace(task_id=UUID(int=2**128 - 1))
        second = request()._replace(task_id=UUID(int=1))
        harness.driver.add(first)
        harness.driver.add(second)
        assert Worker(harness.driver).claim().task_id == second.task_id

    def test_arrival_decides_within_a_batch_too(self, harness: Harness) -> None:
        batch = [request() for _ in range(20)]
        harness.driver.add_many(batch)
        assert Worker(harness.driver).claim().task_id == batch[-1].task_id

    def test_priority_does_not_decide_what_is_newest(self, harness: Harness) -> None:
        add(harness.driver, priority=0)
        newest = add(harness.driver, priority=9)
        assert Worker(harness.driver).claim().task_id == newest

    def test_many_requests_of_one_key_become_one_attempt(self, harness: Harness) -> None:
        batch = [request() for _ in range(500)]
        harness.driver.add_many([request("before"), *batch, request("after")])
        claims = Worker(harness.driver).take(count=10)
        assert sorted(claim.key for claim in claims) == ["after", "before", "k"]
        assert batch[-1].task_id in {claim.task_id for claim in claims}
