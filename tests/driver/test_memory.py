"""MemoryDriver: the driver specification, and what is its own."""

from __future__ import annotations

import time

import pytest
from memory_harness import MemoryHarness

from esync.errors import DriverError
from esync.memory import MemoryDriver
from esync.testing import DriverSpecification
from esync.testing.harness import Worker, add, request, state_of


class TestMemoryDriver(DriverSpecification):
    @pytest.fixture
    def harness(self):
        return MemoryHarness()


def test_the_clock_is_injected():
    times = iter(range(1_000_000_000, 1_000_000_100))
    driver = MemoryDriver(clock=lambda: float(next(times)))
    assert driver.get_overview().at.year == 2001


def test_within_no_transaction_is_the_driver_itself():
    driver = MemoryDriver()
    assert driver.within(None) is driver


def test_closing_keeps_the_tasks():
    driver = MemoryDriver()
    add(driver)
    driver.close()
    assert driver.get_task_count() == 1


def test_time_that_passes_wakes_every_listener():
    driver = MemoryDriver()
    listener = driver.listen()
    driver.let_pass(60)
    assert listener.wait(0) == ["*"]


def test_equal_wakeups_merge_until_they_are_read():
    driver = MemoryDriver()
    listener = driver.listen()
    for _ in range(3):
        driver.let_pass(1)
    assert listener.wait(0) == ["*"]
    assert listener.wait(0) == []


def test_a_closed_listener_is_forgotten():
    driver = MemoryDriver()
    for _ in range(3):
        driver.listen().close()
    assert driver._store._listeners == []


def test_an_error_that_is_no_object_is_refused_with_its_batch():
    driver = MemoryDriver()
    task_id = add(driver)
    worker = Worker(driver)
    claim = worker.claim()
    for error in ("no json", "[]", "[" * 100_000):
        with pytest.raises(DriverError):
            worker.finish(claim, error=error)
    assert state_of(driver, task_id) == "IN PROGRESS"


def test_a_pop_of_a_thousand_from_many_takes_milliseconds():
    driver = MemoryDriver()
    driver.add_many(request(f"k{i}") for i in range(5000))
    worker = Worker(driver)
    start = time.thread_time()
    popped = worker.pop(count=1000)
    # Of this thread's own time, about ten milliseconds; the bound leaves room for a slow machine.
    assert time.thread_time() - start < 0.5
    assert len(popped.claims) == 1000
