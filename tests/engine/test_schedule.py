"""Scheduled actions: once in the cluster, whatever they do."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta

import pytest
from fix_engine import FaultyDriver, stays
from fix_wait import wait_until

from esync.errors import DriverUnavailableError, HandlerError, SettingError


class Reconcile:
    """An action that counts its runs."""

    stream = "ledger"

    def __init__(self):
        self.runs = 0

    def do(self):
        self.runs += 1


def test_an_action_runs_again_and_again(bench):
    action = Reconcile()
    bench.manager.schedule(action, timedelta(seconds=0.05))
    bench.start()
    wait_until(lambda: action.runs >= 3)


def test_an_async_action_runs_too(bench):
    runs = []

    async def tick():
        runs.append(threading.current_thread().name)

    bench.manager.schedule(tick, 0.05)
    bench.start()
    wait_until(lambda: len(runs) >= 2)
    assert set(runs) == {"esync-async"}


def test_an_action_runs_once_in_the_cluster(make_bench, memory):
    runs = []
    benches = [make_bench(memory) for _ in range(3)]
    for bench in benches:
        bench.manager.schedule(lambda: runs.append(1), 60, name="tick")
        bench.start()
    wait_until(lambda: memory._store.actions)
    for expected in (1, 2):
        memory.let_pass(61)
        wait_until(lambda expected=expected: len(runs) == expected)
        stays(lambda expected=expected: len(runs) == expected)


def test_missed_runs_merge_into_one(make_bench, memory):
    runs = []
    bench = make_bench(memory)
    bench.manager.schedule(lambda: runs.append(1), 60, name="tick")
    bench.start()
    wait_until(lambda: memory._store.actions)
    memory.let_pass(600)
    wait_until(lambda: runs)
    stays(lambda: len(runs) == 1)


def test_an_action_that_overruns_does_not_pile_up(bench):
    gate = bench.gate()
    runs = []

    def slow():
        runs.append(1)
        gate.wait(10)

    quick = Reconcile()
    bench.manager.schedule(slow, 0.05)
    bench.manager.schedule(quick, 0.05)
    bench.start()
    wait_until(lambda: runs and quick.runs >= 3)
    assert len(runs) == 1
    gate.set()
    wait_until(lambda: len(runs) >= 2)


def test_raising_is_reported_and_the_action_goes_on(bench):
    runs = []

    def broken():
        runs.append(1)
        raise SystemExit("oops")

    bench.manager.schedule(broken, 0.05, name="ledger")
    bench.start()
    wait_until(lambda: len(runs) >= 3)
    error = bench.error(HandlerError)
    assert str(error) == "scheduled action ledger: raised: SystemExit: oops"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("is_async", [False, True])
def test_a_forked_child_that_comes_back_ends_no_run(bench, is_async):
    codes = []

    def fork():
        if not (child := os.fork()):
            raise SystemExit(3)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    async def fork_async():
        fork()

    bench.manager.schedule(fork_async if is_async else fork, 0.05, name="ledger")
    bench.start()
    wait_until(lambda: len(codes) >= 2)
    assert set(codes) == {3}


def test_an_action_and_a_runner_of_one_stream_never_run_at_once(bench):
    lock = threading.Lock()
    overlaps, runs = [], []

    def exclusive(*_args):
        overlaps.append(not lock.acquire(blocking=False))
        threading.Event().wait(0.01)
        runs.append(1)
        if not overlaps[-1]:
            lock.release()

    def tick():
        exclusive()

    bench.manager.schedule(tick, 0.02, stream="ledger")
    bench.handle("work", lambda _task: exclusive(), stream="ledger")
    bench.producer.add_tasks(("work", f"k{number}") for number in range(10))
    bench.start()
    wait_until(lambda: bench.driver.get_task_count() == 0, 20)
    wait_until(lambda: len(runs) >= 12, 20)
    assert not any(overlaps)


def test_an_action_that_takes_longer_than_its_interval_leaves_its_stream_to_the_runners(bench):
    begun = threading.Event()

    def slow():
        begun.set()
        time.sleep(1.0)

    bench.manager.schedule(slow, 0.5, stream="ledger")
    bench.handle("work", lambda _task: None, stream="ledger")
    bench.start()
    wait_until(begun.is_set)
    bench.wait_state(bench.add("work"), "DONE", timeout=20)


def test_the_stream_may_be_an_attribute_or_a_method():
    from esync.engine.schedule import Action  # noqa: PLC0415

    class Method(Reconcile):
        def stream(self):
            return "method"

    assert Action(Reconcile(), 1, name=None, stream=None).stream == "ledger"
    assert Action(Method(), 1, name=None, stream=None).stream == "method"
    assert Action(Reconcile(), 1, name=None, stream="other").stream == "other"
    assert Action(Reconcile(), 1, name=None, stream=None).name == "Reconcile"


def test_an_end_that_could_not_be_recorded_is_recorded_later(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty)
    action = Reconcile()
    faulty.fail("end_action", DriverUnavailableError("away"), DriverUnavailableError("away"))
    bench.manager.schedule(action, 0.05)
    bench.start()
    wait_until(lambda: action.runs >= 2)


@pytest.mark.parametrize(
    ("action", "interval", "text"),
    [
        (lambda: None, 0, "interval must be between 0.001 and"),
        (lambda: None, "soon", "interval must be seconds or a timedelta, got str"),
        (Reconcile, 1, "action must be an object with do(), or a function, got class Reconcile"),
        (7, 1, "action must be an object with do(), or a function, got an instance of int"),
        (lambda _x: None, 1, "action must take no arguments"),
    ],
)
def test_a_bad_action_is_refused(make_bench, memory, action, interval, text):
    manager = make_bench(memory).manager
    with pytest.raises(SettingError) as caught:
        manager.schedule(action, interval, name="tick")
    assert text in str(caught.value)


def test_two_actions_need_two_names(make_bench, memory):
    manager = make_bench(memory).manager
    manager.schedule(Reconcile(), 1)
    with pytest.raises(SettingError, match="name must be scheduled once"):
        manager.schedule(Reconcile(), 1)
    manager.schedule(Reconcile(), 1, name="another")
