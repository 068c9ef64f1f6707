"""Operators' actions: guarded by state, attributed, audited, never claiming more than they did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esync.snapshot import ActionVerb
from esync.task import TaskState, new_task_id
from esync.testing.harness import (
    NAME,
    OPERATOR,
    Harness,
    Worker,
    add,
    detail_of,
    row_of,
    state_of,
)

if TYPE_CHECKING:
    from uuid import UUID

FINISHED = (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED)


class OperatorsSpecification:
    """P12."""

    def test_requeue_makes_finished_tasks_ready_and_due(self, harness: Harness) -> None:
        ids = [_ended(harness, state) for state in FINISHED]
        result = harness.driver.requeue(ids, by=OPERATOR)
        assert (set(result.changed), result.skipped) == (set(ids), ())
        assert {state_of(harness.driver, i) for i in ids} == {TaskState.READY}
        assert len(Worker(harness.driver).take()) == 3

    def test_requeue_does_not_wait_for_the_time_of_the_request(self, harness: Harness) -> None:
        task_id = add(harness.driver, after=3600.0)
        harness.driver.cancel([task_id], by=OPERATOR)
        harness.driver.requeue([task_id], by=OPERATOR)
        assert Worker(harness.driver).claim().task_id == task_id

    def test_requeue_starts_afresh_but_never_lowers_the_fence(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        worker.retry(worker.claim())
        worker.fail(worker.claim())
        harness.driver.requeue([task_id], by=OPERATOR)
        row = row_of(harness.driver, task_id)
        assert (row.tries, row.crashes, row.attempts) == (0, 0, 2)
        assert (row.worker, row.superseded_by, row.cancel_requested) == ("", None, None)

    def test_requeue_revives_a_superseded_request(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        older = add(harness.driver)
        add(harness.driver)
        worker.finish(worker.claim())
        harness.driver.requeue([older], by=OPERATOR)
        assert row_of(harness.driver, older).superseded_by is None
        assert worker.claim().task_id == older

    def test_requeue_leaves_unfinished_tasks_alone_and_says_so(self, harness: Harness) -> None:
        running, retry, ready = _unfinished(harness)
        result = harness.driver.requeue([running, retry, ready], by=OPERATOR)
        assert result.changed == ()
        assert {skip.task_id for skip in result.skipped} == {running, retry, ready}
        assert all(skip.reason for skip in result.skipped)
        assert _states(harness, running, retry, ready) == ["IN PROGRESS", "RETRY", "READY"]

    def test_requeue_may_skip_keys_with_a_newer_request(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        older = {state: _ended(harness, TaskState.FAILED, key=state) for state in TaskState}
        for state in (*FINISHED, TaskState.RETRY):
            add(harness.driver, state)
            worker.finish(worker.claim(), state, delay=60)
        add(harness.driver, TaskState.IN_PROGRESS)
        worker.claim()
        add(harness.driver, TaskState.READY)
        result = harness.driver.requeue(list(older.values()), by=OPERATOR, skip_newer=True)
        passed = {TaskState.FAILED, TaskState.CANCELLED}
        assert set(result.changed) == {older[state] for state in passed}
        assert {skip.task_id for skip in result.skipped} == {
            older[state] for state in set(TaskState) - passed
        }

    def test_requeue_ignores_newer_requests_of_another_name(self, harness: Harness) -> None:
        task_id = _ended(harness, TaskState.FAILED, key="k")
        add(harness.driver, "k", name="ANOTHER")
        result = harness.driver.requeue([task_id], by=OPERATOR, skip_newer=True)
        assert result.changed == (task_id,)

    def test_cancel_ends_waiting_tasks(self, harness: Harness) -> None:
        _, retry, ready = _unfinished(harness)
        result = harness.driver.cancel([retry, ready], by=OPERATOR)
        assert (set(result.changed), result.asked) == ({retry, ready}, ())
        assert _states(harness, retry, ready) == ["CANCELLED", "CANCELLED"]
        assert "ada" in row_of(harness.driver, ready).message
        assert row_of(harness.driver, retry).worker == ""
        assert Worker(harness.driver).take() == []

    def test_cancel_asks_running_attempts_to_stop(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        worker.claim()
        result = harness.driver.cancel([task_id], by=OPERATOR)
        assert (result.changed, result.asked) == ((), (task_id,))
        assert state_of(harness.driver, task_id) == TaskState.IN_PROGRESS
        cancels = harness.driver.look([NAME], worker_id=worker.id).cancels
        assert set(cancels) == {task_id}
        assert "ada" in cancels[task_id]
        assert "because" in cancels[task_id]

    def test_only_the_worker_concerned_sees_the_cancel(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        Worker(harness.driver).claim()
        harness.driver.cancel([task_id], by=OPERATOR)
        other = Worker(harness.driver)
        assert harness.driver.look([NAME], worker_id=other.id).cancels == {}

    def test_an_attempt_that_was_asked_to_stop_ends_as_it_ends(self, harness: Harness) -> None:
        for state in FINISHED:
            task_id = _asked(harness, state, key=state)
            row = row_of(harness.driver, task_id)
            assert (row.state, row.cancel_requested) == (state, None)

    def test_a_retry_whose_cancel_was_asked_is_cancelled(self, harness: Harness) -> None:
        task_id = _asked(harness, TaskState.RETRY)
        row = row_of(harness.driver, task_id)
        assert (row.state, row.cancel_requested) == (TaskState.CANCELLED, None)

    def test_a_retry_that_was_cancelled_is_reported_as_recorded_again(
        self, harness: Harness
    ) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        claim = worker.claim()
        harness.driver.cancel([task_id], by=OPERATOR)
        assert worker.retry(claim)
        assert worker.retry(claim)

    def test_a_release_whose_cancel_was_asked_is_cancelled(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        claim = worker.claim()
        harness.driver.cancel([task_id], by=OPERATOR)
        assert worker.release(claim)
        assert state_of(harness.driver, task_id) == TaskState.CANCELLED

    def test_cancel_leaves_finished_tasks_alone_and_says_so(self, harness: Harness) -> None:
        ids = [_ended(harness, state) for state in FINISHED]
        result = harness.driver.cancel(ids, by=OPERATOR)
        assert (result.changed, result.asked, len(result.skipped)) == ((), (), 3)
        assert _states(harness, *ids) == list(FINISHED)

    def test_cancel_leaves_the_other_requests_of_the_key_alone(self, harness: Harness) -> None:
        older, newer = add(harness.driver), add(harness.driver)
        harness.driver.cancel([newer], by=OPERATOR)
        assert Worker(harness.driver).claim().task_id == older

    def test_run_now_puts_a_task_before_all_others(self, harness: Harness) -> None:
        for key in ("a", "b"):
            add(harness.driver, key)
        later = add(harness.driver, "later", after=3600.0)
        result = harness.driver.run_now([later], by=OPERATOR)
        assert result.changed == (later,)
        assert [claim.key for claim in Worker(harness.driver).take()] == ["later", "a", "b"]

    def test_run_now_puts_a_task_of_low_priority_first_too(self, harness: Harness) -> None:
        add(harness.driver, "a", priority=0)
        low = add(harness.driver, "low", priority=9)
        harness.driver.run_now([low], by=OPERATOR)
        assert [claim.key for claim in Worker(harness.driver).take()] == ["low", "a"]

    def test_run_now_brings_a_retry_forward(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        worker.retry(worker.claim(), delay=3600)
        harness.driver.run_now([task_id], by=OPERATOR)
        claim = worker.claim()
        assert (claim.task_id, claim.tries) == (task_id, 1)

    def test_run_now_leaves_other_states_alone_and_says_so(self, harness: Harness) -> None:
        running, _, _ = _unfinished(harness)
        ids = [running, *(_ended(harness, state) for state in FINISHED)]
        result = harness.driver.run_now(ids, by=OPERATOR)
        assert (result.changed, len(result.skipped)) == ((), 4)
        assert _states(harness, *ids) == ["IN PROGRESS", *FINISHED]

    def test_a_task_that_is_not_there_is_skipped(self, harness: Harness) -> None:
        ghost = new_task_id()
        for act in (harness.driver.requeue, harness.driver.cancel, harness.driver.run_now):
            result = act([ghost], by=OPERATOR)
            assert (result.changed, result.asked, len(result.skipped)) == ((), (), 1)

    def test_a_task_named_twice_is_changed_once(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        result = harness.driver.cancel([task_id, task_id], by=OPERATOR)
        assert (result.changed, result.skipped) == ((task_id,), ())

    def test_the_audit_says_who_did_what_and_why(self, harness: Harness) -> None:
        task_id, done = add(harness.driver), _ended(harness, TaskState.DONE)
        before = harness.driver.get_overview().at
        harness.driver.cancel([task_id, done], by=OPERATOR)
        (entry,) = harness.driver.list_audit()
        assert (entry.who, entry.host, entry.via, entry.reason) == (
            "ada",
            "desk",
            "library",
            "because",
        )
        assert (entry.verb, entry.matched, entry.changed, entry.skipped) == ("cancel", 2, 1, 1)
        assert before <= entry.at <= harness.driver.get_overview().at

    def test_the_audit_holds_every_verb_newest_first(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        driver = harness.driver
        driver.pause([NAME], by=OPERATOR)
        driver.resume([NAME], by=OPERATOR)
        driver.run_now([task_id], by=OPERATOR)
        driver.cancel([task_id], by=OPERATOR)
        driver.requeue([task_id], by=OPERATOR)
        verbs = [entry.verb for entry in driver.list_audit()]
        assert verbs == [
            ActionVerb.REQUEUE,
            ActionVerb.CANCEL,
            ActionVerb.RUN_NOW,
            ActionVerb.RESUME,
            ActionVerb.PAUSE,
        ]
        assert [entry.verb for entry in driver.list_audit(limit=2)] == verbs[:2]

    def test_an_action_that_changed_nothing_is_audited_as_such(self, harness: Harness) -> None:
        done = _ended(harness, TaskState.DONE)
        harness.driver.cancel([done], by=OPERATOR)
        (entry,) = harness.driver.list_audit()
        assert (entry.matched, entry.changed, entry.skipped) == (1, 0, 1)

    def test_an_action_leaves_the_errors_of_a_task_as_they_are(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        worker.finish(worker.claim(), TaskState.FAILED, error='{"message": "kept"}')
        harness.driver.requeue([task_id], by=OPERATOR)
        harness.driver.cancel([task_id], by=OPERATOR)
        errors = detail_of(harness.driver, task_id).errors
        assert [error["message"] for error in errors] == ["kept"]


def _ended(harness: Harness, state: TaskState, *, key: str | None = None) -> UUID:
    """Return a task that a worker has ended in this state."""
    worker = Worker(harness.driver)
    task_id = add(harness.driver, key or f"ended {state}", priority=0)
    (claim,) = worker.pop(count=1).claims
    worker.finish(claim, state)
    assert state_of(harness.driver, task_id) == state
    return task_id


def _asked(harness: Harness, state: TaskState, *, key: str = "k") -> UUID:
    """Return a task whose attempt was asked to stop and then ended in this state."""
    worker = Worker(harness.driver)
    task_id = add(harness.driver, key)
    claim = worker.claim()
    harness.driver.cancel([task_id], by=OPERATOR)
    worker.finish(claim, state)
    return task_id


def _unfinished(harness: Harness) -> tuple[UUID, UUID, UUID]:
    """Return a task IN PROGRESS, one that waits for its retry, and one that is READY."""
    worker = Worker(harness.driver)
    running = add(harness.driver, "running")
    worker.claim()
    retry = add(harness.driver, "retry")
    worker.retry(worker.claim(), delay=3600)
    return running, retry, add(harness.driver, "ready")


def _states(harness: Harness, *ids: UUID) -> list[str]:
    return [state_of(harness.driver, task_id) for task_id in ids]
