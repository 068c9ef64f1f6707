"""The lease: kept by beats, not trusted after its time, replaced when it is lost."""

from __future__ import annotations

import threading
import time
from uuid import uuid4

import pytest
from fix_engine import FaultyDriver, stays
from fix_wait import wait_until

from esync.driver import RunnerInfo, WorkerInfo
from esync.engine.lease import Lease, margin
from esync.errors import DriverUnavailableError, LeaseLostError
from esync.task import Finish, TaskState

AWAY = DriverUnavailableError("away")


def worker_info(**changes):
    plain = {"host": "h", "pid": 1, "slots": 1, "lease": 30.0, "version": "0"}
    return WorkerInfo(worker_id=uuid4(), **{**plain, **changes})


def test_a_lease_is_not_trusted_to_its_very_end():
    assert margin(30) == 3
    assert margin(10) == 1
    assert margin(1) == 1 / 3


def test_a_lost_lease_stays_lost():
    lease = Lease(uuid4(), until=time.monotonic() + 60)
    assert lease.is_held
    lease.lose()
    lease.renew(until=time.monotonic() + 60)
    assert not lease.is_held


def test_beats_keep_the_worker_alive(make_bench, driver):
    bench = make_bench(driver, lease=0.9, heartbeat=0.1)

    def handler(task):
        assert not task.cancelled.wait(2.5)

    bench.handle("work", handler)
    task_id = bench.add("work")
    bench.start()
    # Three leases long, with a second worker that would rescue.
    other = make_bench(driver, lease=0.9, heartbeat=0.1)
    other.start()
    assert bench.wait_state(task_id, "DONE").row.attempts == 1


def test_a_worker_whose_row_is_gone_comes_back_under_a_new_id(bench):
    bench.handle("work", lambda _task: None)
    bench.start()
    old = bench.manager._engine.worker_id
    bench.driver.leave(old)
    wait_until(lambda: bench.manager._engine.worker_id != old)
    bench.wait_state(bench.add("work"), "DONE")


def test_a_pop_without_a_row_brings_it_back_too(make_bench, driver):
    bench = make_bench(driver, lease=30, heartbeat=9)
    bench.handle("work", lambda _task: None)
    bench.start()
    old = bench.manager._engine.worker_id
    bench.wait_state(bench.add("work", "a"), "DONE")
    bench.driver.leave(old)
    bench.wait_state(bench.add("work", "b"), "DONE", timeout=5)
    assert bench.manager._engine.worker_id != old


def test_an_outcome_of_a_lost_attempt_is_dropped_and_reported(bench):
    gate = bench.gate()
    cancelled = []

    def handler(task):
        if task.attempt == 1:
            gate.wait()
            cancelled.append(task.cancelled.reason)
            return "from the lost attempt"
        return "from the second"

    bench.handle("work", handler)
    task_id = bench.add("work")
    bench.start()
    bench.wait_state(task_id, "IN PROGRESS")
    # Another worker rescues, since this one seems gone, and the task is performed again.
    bench.driver.leave(bench.manager._engine.worker_id)
    bench.driver.rescue(max_crashes=3)
    assert bench.wait_state(task_id, "DONE").message == "from the second"
    gate.set()
    assert bench.error(LeaseLostError).task_id == task_id
    assert bench.message(task_id) == "from the second"
    assert cancelled == ["lease lost"]


def test_no_handler_starts_after_the_lease_has_run_out(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty)
    seen = []
    bench.handle("work", lambda task: seen.append(task.key))
    popping, go_on = threading.Event(), bench.gate()
    real = driver.pop

    def slow_pop(name, **options):
        popped = real(name, **options)
        if popped.claims and not popping.is_set():
            popping.set()
            go_on.wait(10)
        return popped

    faulty.__dict__["pop"] = slow_pop
    task_id = bench.add("work")
    bench.start()
    assert popping.wait(10)
    presence = bench.manager._engine._presence
    lease = presence._lease
    presence.lose(lease)
    go_on.set()
    # Its claim is released by its old fence, and performed under the new lease.
    detail = bench.wait_state(task_id, "DONE")
    assert (seen, detail.row.attempts, detail.row.tries) == (["k"], 2, 0)


def test_a_lease_that_lapsed_asks_running_handlers_to_stop(make_bench, memory):
    faulty = FaultyDriver(memory)
    bench = make_bench(faulty, lease=0.6, heartbeat=0.1)

    started = threading.Event()

    def handler(task):
        if task.attempt == 1:
            started.set()
            assert task.cancelled.wait(10)
            raise ValueError(task.cancelled.reason)

    bench.handle("work", handler)
    task_id = bench.add("work")
    bench.start()
    assert started.wait(10)
    faulty.away = AWAY
    wait_until(lambda: bench.manager.running == 0)
    faulty.away = None
    # Nobody rescued it meanwhile, so the outcome still counts.
    assert bench.wait_state(task_id, "RETRY").message == "ValueError: lease lost"


def test_nothing_is_popped_while_the_lease_is_not_held(make_bench, memory):
    faulty = FaultyDriver(memory)
    bench = make_bench(faulty, lease=0.6, heartbeat=0.1)
    bench.handle("work", lambda _task: None)
    bench.start()
    wait_until(lambda: faulty.calls_of("sleep"))
    faulty.fail("beat", *[AWAY] * 10)
    wait_until(lambda: bench.manager._engine._presence.lease is None)
    pops = faulty.calls_of("pop")
    bench.add("work")
    stays(lambda: faulty.calls_of("pop") == pops, 0.2)


def test_a_dead_workers_tasks_are_rescued_and_performed(make_bench, driver):
    dead = worker_info(lease=0.3)
    driver.register(dead, [RunnerInfo(name="work", slots=1)])
    bench = make_bench(driver, lease=0.6, heartbeat=0.1)
    task_id = bench.add("work")
    assert driver.pop("work", worker_id=dead.worker_id, count=1).claims
    bench.handle("work", lambda task: str(task.attempt))
    bench.start()
    detail = bench.wait_state(task_id, "DONE")
    assert (detail.message, detail.row.crashes) == ("2", 0)


def test_a_worker_rescues_only_after_a_lease_of_its_own(make_bench, memory):
    dead = worker_info(lease=0.01)
    faulty = FaultyDriver(memory)
    memory.register(dead, [RunnerInfo(name="work", slots=1)])
    bench = make_bench(faulty, lease=0.9, heartbeat=0.1)
    bench.start()
    began = time.monotonic()
    wait_until(lambda: faulty.calls_of("rescue"))
    assert time.monotonic() - began > 0.8
    # A beat that fails starts the lease of its own anew.
    presence = bench.manager._engine._presence
    faulty.fail("beat", AWAY)
    wait_until(lambda: not presence.is_steady())
    memory.register(worker_info(lease=0.01), [RunnerInfo(name="work", slots=1)])
    stays(lambda: len(memory.list_workers()) == 2, 0.5)
    wait_until(lambda: len(memory.list_workers()) == 1)
    assert presence.is_steady()


@pytest.mark.parametrize("poll", [0.05, 60])
def test_a_lost_worker_is_rescued_from_long_before_the_next_sweep(make_bench, memory, poll):
    bench = make_bench(FaultyDriver(memory), lease=60, heartbeat=0.1, poll=poll)
    bench.start()
    presence = bench.manager._engine._presence
    wait_until(lambda: presence._steady_since is not None)
    presence._steady_since -= 60
    wait_until(lambda: bench.driver.calls_of("rescue"))
    memory.register(worker_info(lease=0.01), [RunnerInfo(name="work", slots=1)])
    wait_until(lambda: len(memory.list_workers()) == 1)


def test_a_task_that_crashes_workers_fails_in_the_end(make_bench, driver):
    bench = make_bench(driver, lease=0.6, heartbeat=0.1, max_crashes=2)
    task_id = bench.add("work")
    for _ in range(2):
        dead = worker_info(lease=0.1)
        driver.register(dead, [RunnerInfo(name="work", slots=1)])
        for suspects in (False, True):
            driver.pop("work", worker_id=dead.worker_id, count=1, suspects=suspects)
        wait_until(lambda: any(driver.rescue(max_crashes=2)))
    bench.handle("work", lambda _task: None)
    bench.start()
    assert bench.state(task_id) == "FAILED"


def test_a_fence_holds_against_the_old_owner(bench):
    bench.handle("work", lambda _task: "mine")
    task_id = bench.add("work")
    bench.start()
    bench.wait_state(task_id, "DONE")
    stale = Finish(task_id=task_id, attempt=1, state=TaskState.FAILED, message="stale")
    assert bench.driver.finish([stale], worker_id=uuid4()) == set()
    assert bench.message(task_id) == "mine"
