"""Wake-ups and probes: how a runner learns that there is something to do."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import SkipTest
from uuid import uuid4

from esync.testing.harness import NAME, OPERATOR, OTHER, Harness, Worker, add, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esync.driver import Listener

EVERYBODY = "*"


class WakeUpsSpecification:
    """Sleeping, waking, looking."""

    def test_an_insert_wakes_who_sleeps(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        with _listening(harness) as listener:
            harness.driver.sleep([NAME], worker_id=worker.id)
            add(harness.driver)
            assert _hears(listener, NAME)

    def test_a_bulk_insert_wakes_every_name_that_sleeps(self, harness: Harness) -> None:
        worker = Worker(harness.driver, NAME, OTHER)
        with _listening(harness) as listener:
            harness.driver.sleep([NAME, OTHER], worker_id=worker.id)
            harness.driver.add_many(
                request(f"k{i}", name=n) for i in range(9) for n in (OTHER, NAME)
            )
            assert _hears(listener, NAME, OTHER)

    def test_an_insert_is_silent_when_nobody_sleeps(self, harness: Harness) -> None:
        with _listening(harness) as listener:
            add(harness.driver)
            assert _hears_only_the_marker(harness, listener)

    def test_an_insert_of_another_name_wakes_nobody(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        with _listening(harness) as listener:
            harness.driver.sleep([OTHER], worker_id=worker.id)
            add(harness.driver, name=NAME)
            assert _hears_only_the_marker(harness, listener)

    def test_who_woke_is_not_woken_again(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        with _listening(harness) as listener:
            harness.driver.sleep([NAME], worker_id=worker.id)
            harness.driver.wake([NAME], worker_id=worker.id)
            add(harness.driver)
            assert _hears_only_the_marker(harness, listener)

    def test_one_that_wakes_leaves_the_others_asleep(self, harness: Harness) -> None:
        one, two = Worker(harness.driver), Worker(harness.driver)
        with _listening(harness) as listener:
            for worker in (one, two):
                harness.driver.sleep([NAME], worker_id=worker.id)
            harness.driver.wake([NAME], worker_id=one.id)
            add(harness.driver)
            assert _hears(listener, NAME)

    def test_sleeping_and_waking_twice_is_legal(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        with _listening(harness) as listener:
            for _ in range(2):
                harness.driver.sleep([NAME, OTHER], worker_id=worker.id)
            for _ in range(2):
                harness.driver.wake([OTHER], worker_id=worker.id)
            add(harness.driver)
            assert _hears(listener, NAME)

    def test_a_lost_worker_sleeps_no_longer(self, harness: Harness) -> None:
        worker = Worker(harness.driver, lease=30)
        with _listening(harness) as listener:
            harness.driver.sleep([NAME], worker_id=worker.id)
            harness.let_pass(31)
            harness.driver.rescue(max_crashes=3)
            assert not harness.driver.beat(worker.id, names=[NAME])
            harness.driver.look([NAME], worker_id=uuid4())
            _drain(listener)
            add(harness.driver)
            assert _hears_only_the_marker(harness, listener)

    def test_operators_wake_the_runners_concerned(self, harness: Harness) -> None:
        driver = harness.driver
        task_id = add(driver, after=3600.0)
        with _listening(harness) as listener:
            driver.pause([NAME], by=OPERATOR)
            assert _hears(listener, NAME)
            driver.resume([NAME], by=OPERATOR)
            assert _hears(listener, NAME)
            driver.run_now([task_id], by=OPERATOR)
            assert _hears(listener, NAME)
            driver.cancel([task_id], by=OPERATOR)
            assert _hears(listener, NAME)
            driver.requeue([task_id], by=OPERATOR)
            assert _hears(listener, NAME)

    def test_a_rescue_wakes_the_runners_concerned(self, harness: Harness) -> None:
        add(harness.driver)
        Worker(harness.driver, lease=30).claim()
        harness.let_pass(31)
        with _listening(harness) as listener:
            harness.driver.rescue(max_crashes=3)
            assert _hears(listener, NAME)

    def test_every_listener_hears(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        with _listening(harness) as one, _listening(harness) as two:
            harness.driver.sleep([NAME], worker_id=worker.id)
            add(harness.driver)
            assert _hears(one, NAME)
            assert _hears(two, NAME)

    def test_a_listener_that_hears_nothing_returns_in_time(self, harness: Harness) -> None:
        with _listening(harness) as listener:
            start = time.monotonic()
            assert listener.wait(0.05) == []
            assert time.monotonic() - start < 5

    def test_a_closed_listener_says_so(self, harness: Harness) -> None:
        with _listening(harness) as listener:
            listener.close()
            assert listener.wait(5) is None
            listener.close()

    def test_a_look_returns_the_names_with_due_tasks(self, harness: Harness) -> None:
        worker = Worker(harness.driver, NAME, OTHER)
        add(harness.driver, name=NAME)
        add(harness.driver, name=OTHER, after=60.0)
        add(harness.driver, name="UNASKED")
        look = harness.driver.look([NAME, OTHER], worker_id=worker.id)
        assert look.due == {NAME}
        assert look.next_due is not None
        assert 0 < look.next_due <= 60
        assert (look.paused, dict(look.cancels)) == (frozenset(), {})

    def test_a_look_at_an_empty_queue_finds_nothing(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        look = harness.driver.look([NAME], worker_id=worker.id)
        assert (look.due, look.next_due) == (frozenset(), None)

    def test_a_look_leaves_the_tasks_of_busy_names_to_their_runners(self, harness: Harness) -> None:
        worker = Worker(harness.driver, NAME, OTHER)
        for name in (NAME, OTHER):
            add(harness.driver, name=name)
        harness.driver.pause([NAME], by=OPERATOR)
        look = harness.driver.look([NAME, OTHER], worker_id=worker.id, busy=[OTHER])
        assert (look.due, look.next_due) == (frozenset(), None)
        assert look.paused == {NAME}

    def test_a_look_for_what_has_just_become_due_finds_it(self, harness: Harness) -> None:
        worker = Worker(harness.driver, NAME, OTHER)
        add(harness.driver, name=NAME, after=50.0)
        add(harness.driver, name=OTHER, after=70.0)
        harness.let_pass(60)
        look = harness.driver.look([NAME, OTHER], worker_id=worker.id, due_within=30.0)
        assert look.due == {NAME}
        assert look.next_due is not None
        assert 0 < look.next_due <= 10

    def test_a_look_finds_the_retries_that_wait(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        add(harness.driver)
        worker.retry(worker.claim(), delay=60)
        assert harness.driver.look([NAME], worker_id=worker.id).next_due is not None
        harness.let_pass(61)
        assert harness.driver.look([NAME], worker_id=worker.id).due == {NAME}

    def test_a_look_names_paused_runners_but_not_their_tasks(self, harness: Harness) -> None:
        worker = Worker(harness.driver, NAME, OTHER)
        add(harness.driver, name=NAME)
        add(harness.driver, name=OTHER)
        harness.driver.pause([NAME], by=OPERATOR)
        look = harness.driver.look([NAME, OTHER], worker_id=worker.id)
        assert look.due == {OTHER}
        assert look.paused == {NAME}


@contextmanager
def _listening(harness: Harness) -> Iterator[Listener]:
    listener = harness.driver.listen()
    if listener is None:
        raise SkipTest("this driver has no source of wake-ups")
    try:
        yield listener
    finally:
        listener.close()


def _hears(listener: Listener, *names: str, within: float = 10.0) -> bool:
    """Whether wake-ups of all the names, or of everybody, come."""
    missing = set(names)
    deadline = time.monotonic() + within
    while missing and (left := deadline - time.monotonic()) > 0:
        payloads = listener.wait(left) or []
        missing = set() if EVERYBODY in payloads else missing - set(payloads)
    return not missing


def _hears_only_the_marker(harness: Harness, listener: Listener) -> bool:
    """Whether nothing came before a wake-up that is sent now; wake-ups come in order."""
    harness.driver.pause(["MARKER"], by=OPERATOR)
    heard: list[str] = []
    deadline = time.monotonic() + 10
    while not heard and time.monotonic() < deadline:
        heard += listener.wait(1) or []
    return set(heard) in ({"MARKER"}, {EVERYBODY})


def _drain(listener: Listener) -> None:
    while listener.wait(0.05):
        pass
