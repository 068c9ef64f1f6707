"""Adding: what is stored is what was asked for, all or none, with the store's own times."""

from __future__ import annotations

import json
from datetime import timedelta

from esync.errors import DriverError
from esync.snapshot import Filter
from esync.task import TaskState
from esync.testing.harness import NAME, OTHER, Harness, Worker, add, request, row_of

ODD_DATA = {
    "text": "Größe \u202e 🙂 \\ \" ' %s $1 {} \t\n",
    "number": 12345678901234567890,
    "fraction": 0.1,
    "nested": [[], {}, None, True, {"": [1, "2"]}],
}
ODD_KEYS = ("a", "A", "a ", " a", "é", "e\u0301", "%", "_", "\\", "'", '"', "🙂" * 64, "{a,b}")


class AddingSpecification:
    """What producers may rely on."""

    def test_a_task_is_handed_out_as_it_was_added(self, harness: Harness) -> None:
        task_id = add(harness.driver, "k", data=ODD_DATA)
        claim = Worker(harness.driver).claim()
        assert (claim.task_id, claim.key, claim.created_by) == (task_id, "k", "spec@host")
        assert json.loads(claim.raw_data) == ODD_DATA

    def test_a_first_attempt_is_number_one_with_no_tries(self, harness: Harness) -> None:
        add(harness.driver)
        claim = Worker(harness.driver).claim()
        assert (claim.attempt, claim.tries, claim.crashes) == (1, 0, 0)

    def test_keys_are_compared_by_code_point(self, harness: Harness) -> None:
        assert harness.driver.add_many([request(key) for key in ODD_KEYS]) == len(ODD_KEYS)
        claims = Worker(harness.driver).take(count=len(ODD_KEYS) + 1)
        assert sorted(claim.key for claim in claims) == sorted(ODD_KEYS)

    def test_add_many_returns_how_many(self, harness: Harness) -> None:
        assert harness.driver.add_many(request(f"k{i}") for i in range(7)) == 7
        assert harness.driver.get_task_count() == 7

    def test_add_many_of_nothing_adds_nothing(self, harness: Harness) -> None:
        assert harness.driver.add_many([]) == 0
        assert harness.driver.get_task_count() == 0

    def test_add_refuses_the_id_of_another_task(self, harness: Harness) -> None:
        task = request("first")
        harness.driver.add(task)
        assert _is_refused(lambda: harness.driver.add(task._replace(key="second")))
        assert row_of(harness.driver, task.task_id).key == "first"

    def test_add_many_adds_all_or_none(self, harness: Harness) -> None:
        there = request("there")
        harness.driver.add(there)
        batch = [request("new"), there._replace(key="twice"), request("newer")]
        assert _is_refused(lambda: harness.driver.add_many(batch))
        assert harness.driver.get_task_count() == 1

    def test_text_that_cannot_be_stored_is_refused_with_its_batch(self, harness: Harness) -> None:
        for bad in ("nul\x00", "surrogate\udc00"):
            batch = [request("good"), request("bad")._replace(key=bad)]
            assert _is_refused(lambda batch=batch: harness.driver.add_many(batch)), repr(bad)
        assert harness.driver.get_task_count() == 0

    def test_data_that_python_cannot_read_harms_no_other_task(self, harness: Harness) -> None:
        deep = '{"a":' * 2000 + "1" + "}" * 2000
        for key, raw in (("digits", '{"n":' + "9" * 5000 + "}"), ("deep", deep)):
            harness.driver.add(request(key)._replace(raw_data=raw))
        add(harness.driver, "good")
        claims = {claim.key: claim for claim in Worker(harness.driver).take()}
        assert set(claims) == {"digits", "deep", "good"}
        assert "9" * 5000 in claims["digits"].raw_data
        assert len(harness.driver.list_tasks(Filter(), limit=10).rows) == 3

    def test_a_delayed_task_waits_for_its_time(self, harness: Harness) -> None:
        task_id = add(harness.driver, after=60.0)
        worker = Worker(harness.driver)
        harness.let_pass(50)
        assert worker.pop().claims == ()
        harness.let_pass(11)
        assert worker.claim().task_id == task_id

    def test_a_task_may_name_its_moment(self, harness: Harness) -> None:
        later = harness.driver.get_overview().at + timedelta(hours=1)
        add(harness.driver, after=later)
        worker = Worker(harness.driver)
        assert worker.pop().claims == ()
        harness.let_pass(3601)
        assert len(worker.pop().claims) == 1

    def test_a_moment_in_the_past_is_due_at_once(self, harness: Harness) -> None:
        add(harness.driver, after=harness.driver.get_overview().at - timedelta(days=400))
        assert len(Worker(harness.driver).pop().claims) == 1

    def test_stored_times_are_those_of_the_store(self, harness: Harness) -> None:
        before = harness.driver.get_overview().at
        task_id = add(harness.driver)
        worker = Worker(harness.driver)
        worker.finish(worker.claim())
        after = harness.driver.get_overview().at
        row = row_of(harness.driver, task_id)
        assert row.created_at is not None
        assert row.do_after is not None
        assert row.last_attempted is not None
        assert before <= row.created_at <= row.last_attempted <= after
        assert before <= row.do_after <= after

    def test_task_count_is_of_ready_retry_and_in_progress(self, harness: Harness) -> None:
        driver, worker = harness.driver, Worker(harness.driver)
        states = (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED, TaskState.RETRY)
        for state in states:
            add(driver, state)
            worker.finish(worker.claim(), state, delay=60)
        add(driver, "running")
        worker.claim()
        add(driver, "ready")
        add(driver, "ready", name=OTHER)
        assert driver.get_task_count() == 4
        assert driver.get_task_count(NAME) == 3
        assert driver.get_task_count("NOBODY") == 0


def _is_refused(call: object) -> bool:
    assert callable(call)
    try:
        call()
    except DriverError:
        return True
    return False
