"""Unknown names and pauses: what a name decides about its tasks."""

from __future__ import annotations

from esync.task import TaskState
from esync.testing.harness import (
    LONG_LEASE,
    NAME,
    OPERATOR,
    OTHER,
    Harness,
    Worker,
    add,
    name_row,
    row_of,
    state_of,
)

GRACE = 30.0
FORGET = 7 * 86400.0


class NamesSpecification:
    """P10 and pauses."""

    def test_a_name_nobody_registered_is_cancelled_after_the_grace(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        assert _cancel_unknown(harness) == {}
        harness.let_pass(GRACE + 1)
        assert _cancel_unknown(harness) == {NAME: 1}
        row = row_of(harness.driver, task_id)
        assert row.state == TaskState.CANCELLED
        assert row.message

    def test_the_turn_of_an_unknown_name_comes_when_it_is_due(self, harness: Harness) -> None:
        task_id = add(harness.driver, after=600.0)
        harness.let_pass(590)
        assert _cancel_unknown(harness) == {}
        harness.let_pass(15)
        assert _cancel_unknown(harness) == {}, "due, but the grace is not over"
        harness.let_pass(GRACE)
        assert _cancel_unknown(harness) == {NAME: 1}
        assert state_of(harness.driver, task_id) == TaskState.CANCELLED

    def test_unknown_names_are_counted_each(self, harness: Harness) -> None:
        for key in ("a", "b"):
            add(harness.driver, key, name=NAME)
        add(harness.driver, name=OTHER)
        harness.let_pass(GRACE + 1)
        assert _cancel_unknown(harness) == {NAME: 2, OTHER: 1}
        assert _cancel_unknown(harness) == {}

    def test_a_name_that_was_registered_before_only_waits(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        harness.driver.leave(Worker(harness.driver).id)
        harness.let_pass(FORGET / 2)
        assert _cancel_unknown(harness) == {}
        assert state_of(harness.driver, task_id) == TaskState.READY

    def test_a_name_is_forgotten_when_nobody_registers_it_for_long(self, harness: Harness) -> None:
        add(harness.driver)
        harness.driver.leave(Worker(harness.driver).id)
        harness.let_pass(FORGET + GRACE + 1)
        assert _cancel_unknown(harness) == {NAME: 1}

    def test_a_heartbeat_keeps_a_name_known(self, harness: Harness) -> None:
        worker = Worker(harness.driver, lease=LONG_LEASE)
        add(harness.driver)
        harness.let_pass(FORGET + 1)
        harness.driver.beat(worker.id, names=[NAME])
        assert _cancel_unknown(harness) == {}

    def test_a_paused_name_is_never_cancelled(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        harness.driver.pause([NAME], by=OPERATOR)
        harness.let_pass(FORGET + 1)
        assert _cancel_unknown(harness) == {}
        assert state_of(harness.driver, task_id) == TaskState.READY

    def test_pausing_a_name_does_not_make_it_known(self, harness: Harness) -> None:
        harness.driver.pause([NAME], by=OPERATOR)
        harness.driver.resume([NAME], by=OPERATOR)
        add(harness.driver)
        harness.let_pass(GRACE + 1)
        assert _cancel_unknown(harness) == {NAME: 1}

    def test_a_paused_runner_pops_nothing(self, harness: Harness) -> None:
        worker = Worker(harness.driver, NAME, OTHER)
        add(harness.driver, name=NAME)
        add(harness.driver, name=OTHER)
        harness.driver.pause([NAME], by=OPERATOR)
        assert worker.pop(NAME).claims == ()
        assert len(worker.pop(OTHER).claims) == 1

    def test_a_resumed_runner_pops_again(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        add(harness.driver)
        harness.driver.pause([NAME], by=OPERATOR)
        assert harness.driver.resume([NAME], by=OPERATOR).names == (NAME,)
        assert len(worker.pop().claims) == 1

    def test_a_pause_may_end_by_itself(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        add(harness.driver)
        harness.driver.pause([NAME], by=OPERATOR, resume_after=60)
        harness.let_pass(50)
        assert worker.pop().claims == ()
        harness.let_pass(11)
        assert len(worker.pop().claims) == 1
        assert name_row(harness.driver).pause is None

    def test_a_pause_does_not_stop_running_attempts(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        add(harness.driver)
        claim = worker.claim()
        harness.driver.pause([NAME], by=OPERATOR)
        assert worker.finish(claim)

    def test_a_pause_is_shown_with_who_and_why(self, harness: Harness) -> None:
        Worker(harness.driver)
        harness.driver.pause([NAME], by=OPERATOR, resume_after=100)
        harness.let_pass(10)
        pause = name_row(harness.driver).pause
        assert pause is not None
        assert (pause.by, pause.reason) == ("ada@desk", "because")
        assert 10 <= pause.seconds < 60
        assert pause.resumes_in is not None
        assert 30 < pause.resumes_in <= 90

    def test_a_second_pause_replaces_the_first(self, harness: Harness) -> None:
        Worker(harness.driver)
        harness.driver.pause([NAME], by=OPERATOR, resume_after=100)
        harness.driver.pause([NAME], by=OPERATOR)
        harness.let_pass(200)
        pause = name_row(harness.driver).pause
        assert pause is not None
        assert pause.resumes_in is None

    def test_resuming_what_is_not_paused_is_said_to_do_nothing(self, harness: Harness) -> None:
        Worker(harness.driver)
        result = harness.driver.resume([NAME], by=OPERATOR)
        assert result.names == ()
        assert len(result.skipped) == 1

    def test_a_pause_survives_the_registration_of_a_worker(self, harness: Harness) -> None:
        harness.driver.pause([NAME], by=OPERATOR)
        add(harness.driver)
        assert Worker(harness.driver).pop().claims == ()


def _cancel_unknown(harness: Harness) -> dict[str, int]:
    return dict(harness.driver.cancel_unknown(grace=GRACE, forget_after=FORGET))
