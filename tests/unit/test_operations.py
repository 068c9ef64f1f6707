"""What operators do: exact, attributed, bounded, and never claiming more than was done."""

from __future__ import annotations

from uuid import uuid4

import pytest
from fix_memory import Queue

from esync.errors import (
    DriverUnavailableError,
    StateError,
    TaskNotFoundError,
    TaskValueError,
    TooManyTasksError,
)
from esync.operations import BATCH, Operations, describe
from esync.snapshot import ActionResult, ActionVerb, Filter, Skip
from esync.task import TaskState, system_user


@pytest.fixture
def queue():
    return Queue()


@pytest.fixture
def operations(queue):
    return Operations(queue.driver, who="ana", host="desk", via="cli")


def test_an_action_is_attributed_in_the_audit(queue, operations):
    operations.requeue([queue.fail("1")], reason="partner is back")
    row = queue.driver.list_audit()[0]
    assert (row.who, row.host, row.via, row.verb) == ("ana", "desk", "cli", "requeue")
    assert row.reason == "partner is back"


def test_attribution_can_always_be_stored(queue):
    operations = Operations(queue.driver, who="a\x00\ud800" + "x" * 99, host="h", via="cli")
    operations.pause(["n"], reason="\x00" * 9999)
    row = queue.driver.list_audit()[0]
    assert "\x00" not in row.who + row.reason
    assert len(row.who) <= 64


def ids_of(operations, where):
    return [target.task_id for target in operations.select(where)]


def test_requeue_leaves_keys_with_a_newer_request_in_bulk(queue, operations):
    old, other = queue.fail("1"), queue.fail("2")
    queue.add("1")
    failed = ids_of(operations, Filter(states=(TaskState.FAILED,)))
    result = operations.requeue(failed, skip_newer=True)
    assert result.changed == (other,)
    assert [skip.task_id for skip in result.skipped] == [old]
    assert queue.state(old) == "FAILED"


def test_cancel_and_run_now_act_on_all_that_match(queue, operations):
    later, ready = queue.add("1", after=60), queue.add("2")
    where = Filter(names=("customer.sync",), states=(TaskState.READY,))
    assert set(operations.run_now(ids_of(operations, where)).changed) == {later, ready}
    assert set(operations.cancel(ids_of(operations, where)).changed) == {later, ready}


def test_too_many_matches_change_nothing(queue, operations):
    ids = [queue.add(str(i)) for i in range(6)]
    with pytest.raises(TooManyTasksError, match="6 tasks match, more than the maximum of 5") as got:
        operations.select(Filter(), maximum=5)
    assert (got.value.matched, got.value.maximum) == (6, 5)
    assert {queue.state(i) for i in ids} == {"READY"}
    assert not queue.driver.list_audit()


def test_a_selection_does_not_grow(queue, operations):
    queue.add("1")
    targets = operations.select(Filter())
    late = queue.add("2")
    operations.cancel([target.task_id for target in targets])
    assert queue.state(late) == "READY"


class RecordingDriver:
    """A store that notes the sizes of the batches, and is away from one batch on."""

    def __init__(self, *, away_from=99):
        self.sizes = []
        self._away_from = away_from

    def cancel(self, ids, *, by):  # noqa: ARG002
        if len(self.sizes) == self._away_from:
            raise DriverUnavailableError("cannot reach the database", is_ambiguous=True)
        self.sizes.append(len(ids))
        return ActionResult(verb=ActionVerb.CANCEL, changed=tuple(ids))


def test_batches_are_bounded_and_summed():
    driver = RecordingDriver()
    ids = [uuid4() for _ in range(2 * BATCH + 1)]
    result = Operations(driver, who="a", host="h", via="cli").cancel([*ids, *ids[:9]])
    assert driver.sizes == [BATCH, BATCH, 1]
    assert result.changed == tuple(ids)


def test_an_outage_half_way_says_what_was_done():
    operations = Operations(RecordingDriver(away_from=1), who="a", host="h", via="cli")
    with pytest.raises(DriverUnavailableError, match="before that: cancelled 500") as caught:
        operations.cancel([uuid4() for _ in range(BATCH + 1)])
    assert caught.value.is_ambiguous


def test_nothing_to_do_asks_nobody():
    driver = RecordingDriver()
    assert not Operations(driver, who="a", host="h", via="cli").cancel([]).changed
    assert driver.sizes == []


def test_newest_is_the_newest_request_of_a_key(queue, operations):
    queue.fail("1")
    newest = queue.add("1")
    assert operations.newest("1").task_id == newest


def test_a_key_of_several_names_must_be_told_apart(queue, operations):
    queue.add("1", name="b")
    other = queue.add("1", name="a")
    with pytest.raises(TaskValueError, match="--name: a, b"):
        operations.newest("1")
    assert operations.newest("1", name="a").task_id == other


def test_a_key_without_tasks_is_not_found(operations):
    with pytest.raises(TaskNotFoundError, match="no task has the key '1'"):
        operations.newest("1")
    with pytest.raises(TaskNotFoundError, match="no task of name 'a' has the key '1'"):
        operations.newest("1", name="a")


@pytest.mark.parametrize(
    ("verb", "state"),
    [
        (ActionVerb.REQUEUE, TaskState.RETRY),
        (ActionVerb.CANCEL, TaskState.DONE),
        (ActionVerb.RUN_NOW, TaskState.FAILED),
    ],
)
def test_a_state_that_does_not_allow_it_is_an_error_with_the_reason(queue, operations, verb, state):
    queue.end("1", state)
    with pytest.raises(StateError, match=f"cannot {verb} customer.sync '1': it is {state}"):
        operations.act_on(verb, operations.newest("1"))


def test_a_running_task_is_asked_to_stop(queue, operations):
    claim = queue.run("1")
    result = operations.act_on(ActionVerb.CANCEL, operations.newest("1"))
    assert result.asked == (claim.task_id,)
    assert queue.state(claim.task_id) == "IN PROGRESS"


def test_pause_and_resume_name_what_they_changed(operations):
    assert operations.pause(["a", "b"], resume_after=60).names == ("a", "b")
    result = operations.resume(["a", "c"])
    assert result.names == ("a",)
    assert [skip.key for skip in result.skipped] == ["c"]


@pytest.mark.parametrize("name", ["", "x" * 65, "a\x1b"])
def test_pause_checks_names(operations, name):
    with pytest.raises(TaskValueError):
        operations.pause([name])


def skips(*reasons):
    return tuple(Skip(uuid4(), "k", reason) for reason in reasons)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (
            ActionResult(
                verb=ActionVerb.REQUEUE,
                changed=(uuid4(),) * 403,
                skipped=skips(*["a newer request is READY"] * 8, "is IN PROGRESS"),
            ),
            "requeued 403, skipped 9 (8 newer request is READY, 1 IN PROGRESS)",
        ),
        (
            ActionResult(verb=ActionVerb.CANCEL, asked=(uuid4(),)),
            "cancelled 0, asked 1 running handler to stop (it may finish all the same)",
        ),
        (
            ActionResult(verb=ActionVerb.CANCEL, changed=(uuid4(),), asked=(uuid4(), uuid4())),
            "cancelled 1, asked 2 running handlers to stop (they may finish all the same)",
        ),
        (ActionResult(verb=ActionVerb.PAUSE, names=("a", "b")), "paused a, b"),
        (
            ActionResult(verb=ActionVerb.RESUME, skipped=skips("is not paused")),
            "resumed nothing, skipped 1 (1 not paused)",
        ),
    ],
)
def test_a_result_is_described_as_it_is(result, text):
    assert describe(result) == text


def test_the_user_is_the_systems_whatever_the_environment_says(monkeypatch):
    before = system_user()
    monkeypatch.setenv("USER", "somebody")
    monkeypatch.setenv("LOGNAME", "somebody")
    assert system_user() == before != "somebody"
