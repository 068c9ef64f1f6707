"""Starting and stopping: from anywhere, at any time, leaving nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time

import pytest
from fix_engine import FaultyDriver
from fix_wait import wait_until

from esync.errors import DriverUnavailableError, SchemaError, SettingError


def run_in_thread(bench):
    """Let run() run; return its thread and a list that will hold its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(bench.manager.run()))
    thread.start()
    wait_until(lambda: bench.manager._engine is not None or results)
    return thread, results


def test_stop_before_start_does_nothing(bench):
    bench.handle("work", lambda _task: None)
    assert bench.manager.stop() == ()
    bench.start()
    bench.wait_state(bench.add("work"), "DONE")


def test_stop_is_idempotent(bench):
    bench.start()
    assert bench.manager.stop() == ()
    assert bench.manager.stop() == ()


def test_a_stopped_worker_leaves(bench):
    bench.handle("work", lambda _task: None)
    bench.start()
    wait_until(lambda: len(bench.driver.list_workers()) == 1)
    bench.manager.stop()
    assert bench.driver.list_workers() == ()


def test_an_idle_worker_stops_at_once(make_bench, driver):
    bench = make_bench(driver, lease=30, heartbeat=None, poll=1.0)
    bench.handle("work", lambda _task: None)
    bench.start()
    began = time.monotonic()
    bench.manager.stop()
    assert time.monotonic() - began < 1


def test_it_can_start_again_after_a_stop(bench):
    bench.handle("work", lambda _task: None)
    for number in range(5):
        bench.start()
        bench.wait_state(bench.add("work", str(number)), "DONE")
        bench.manager.stop()


def test_many_stops_at_once_all_return(bench):
    bench.start()
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(bench.manager.stop())) for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == [()] * 10


def test_a_second_start_is_refused(bench):
    bench.start()
    with pytest.raises(SettingError):
        bench.start()


def test_running_handlers_may_end_within_the_grace_period(bench):
    started = threading.Event()

    def handler(task):
        started.set()
        task.cancelled.wait(0.3)
        return "finished"

    bench.handle("work", handler)
    task_id = bench.add("work")
    bench.start()
    started.wait(10)
    assert bench.manager.stop(grace=10) == ()
    assert (bench.state(task_id), bench.message(task_id)) == ("DONE", "finished")


def test_nothing_is_popped_while_draining(bench):
    gate, started = bench.gate(), threading.Event()

    def handler(_task):
        started.set()
        gate.wait()

    bench.handle("work", handler)
    bench.add("work")
    bench.start()
    started.wait(10)
    stopper = threading.Thread(target=bench.manager.stop, args=(20,))
    stopper.start()
    engine = bench.manager._engine
    wait_until(lambda: not engine._popper._thread.is_alive())
    late = bench.add("work", "late")
    gate.set()
    stopper.join(10)
    assert bench.state(late) == "READY"


def test_stopping_releases_what_was_not_started(bench):
    gate, slow = bench.gate(), threading.Event()

    def handler(task):
        if task.key == "k300":
            slow.set()
            gate.wait()

    bench.handle("work", handler, concurrency=1)
    bench.producer.add_tasks(("work", f"k{number}") for number in range(1500))
    bench.start()
    wait_until(slow.is_set)
    stopper = threading.Thread(target=bench.manager.stop, args=(20,))
    stopper.start()
    wait_until(lambda: bench.manager.snapshot()[0].in_flight == 1)
    gate.set()
    stopper.join(10)
    (row,) = bench.driver.find_tasks("k1499")
    assert (row.state, row.tries) == ("READY", 0)
    (row,) = bench.driver.find_tasks("k300")
    assert row.state == "DONE"


def test_stop_from_a_handler_returns_and_stops(bench):
    results = []

    def handler(_task):
        results.append(bench.manager.stop())
        return "I asked"

    bench.handle("work", handler)
    task_id = bench.add("work")
    thread, ends = run_in_thread(bench)
    thread.join(10)
    assert not thread.is_alive()
    assert (results, ends) == ([()], [()])
    assert (bench.state(task_id), bench.message(task_id)) == ("DONE", "I asked")


def test_stop_from_an_async_handler_an_action_and_the_error_handler(bench):
    async def handler(_task):
        bench.manager.stop()

    bench.handle("work", handler)
    bench.add("work")
    thread, _ = run_in_thread(bench)
    thread.join(10)
    assert not thread.is_alive()

    def action():
        raise ValueError

    bench.manager.schedule(action, 0.05, name="tick")
    bench.manager.set_error_handler(lambda _error: bench.manager.stop())
    thread, _ = run_in_thread(bench)
    thread.join(10)
    assert not thread.is_alive()


def test_run_returns_when_stopped_from_another_thread(bench):
    thread, results = run_in_thread(bench)
    bench.manager.stop()
    thread.join(10)
    assert results == [()]


def test_what_still_runs_is_returned_and_not_given_back(bench):
    gate = bench.gate()

    def handler(_task):
        gate.wait()

    bench.handle("work", handler)
    task_id = bench.add("work", "k7")
    bench.start()
    bench.wait_state(task_id, "IN PROGRESS")
    (left,) = bench.manager.stop(grace=0.2)
    assert (left.name, left.key, left.task_id, left.attempt) == ("work", "k7", task_id, 1)
    assert bench.state(task_id) == "IN PROGRESS"
    (worker,) = bench.driver.list_workers()
    assert worker.is_leaving


def test_others_take_over_what_was_left_and_count_no_crash(make_bench, driver):
    first = make_bench(driver)
    gate = first.gate()
    calls = []

    def hang(task):
        calls.append(task.attempt)
        gate.wait()

    first.handle("work", hang)
    task_id = first.add("work")
    first.start()
    wait_until(lambda: calls == [1])
    second = make_bench(driver, lease=0.9, heartbeat=0.15)
    second.handle("work", lambda task: calls.append(task.attempt))
    second.start()
    wait_until(second.manager._engine._presence.is_steady)
    first.manager.stop(grace=0)
    detail = second.wait_state(task_id, "DONE", timeout=5)
    assert calls == [1, 2]
    assert detail.row.crashes == 0


def test_handlers_are_asked_to_stop_before_the_grace_period_ends(bench):
    def handler(task):
        assert task.cancelled.wait(10)
        return task.cancelled.reason

    bench.handle("work", handler)
    task_id = bench.add("work")
    bench.start()
    bench.wait_state(task_id, "IN PROGRESS")
    assert bench.manager.stop(grace=1) == ()
    assert bench.message(task_id) == "the worker stops"


def test_a_second_stop_may_shorten_the_grace_period(bench):
    gate = bench.gate()
    bench.handle("work", lambda _task: gate.wait())
    task_id = bench.add("work")
    bench.start()
    bench.wait_state(task_id, "IN PROGRESS")
    results = []
    first = threading.Thread(target=lambda: results.append(bench.manager.stop(grace=60)))
    first.start()
    (left,) = bench.manager.stop(grace=0.1)
    first.join(5)
    assert left.task_id == task_id
    assert results == [(left,)]


def test_an_outcome_after_the_end_is_dropped_and_logged(bench, caplog):
    gate = bench.gate()
    bench.handle("work", lambda _task: gate.wait())
    task_id = bench.add("work")
    bench.start()
    bench.wait_state(task_id, "IN PROGRESS")
    bench.manager.stop(grace=0)
    gate.set()
    wait_until(lambda: "ended after the worker" in caplog.text)
    assert bench.state(task_id) == "IN PROGRESS"


def test_a_hanging_action_is_returned_too(bench):
    gate, started = bench.gate(), threading.Event()

    async def hang():
        started.set()
        await asyncio.to_thread(gate.wait)

    bench.manager.schedule(hang, 0.05, name="reconcile")
    bench.start()
    started.wait(10)
    (left,) = bench.manager.stop(grace=0.1)
    assert (left.name, left.task_id) == ("reconcile", None)


def test_stopping_does_not_hang_while_the_database_is_away(make_bench, memory):
    faulty = FaultyDriver(memory)
    bench = make_bench(faulty)
    bench.handle("work", lambda task: task.cancelled.wait(0.2))
    task_id = bench.add("work")
    bench.start()
    bench.wait_state(task_id, "IN PROGRESS")
    faulty.away = DriverUnavailableError("away")
    began = time.monotonic()
    assert bench.manager.stop(grace=0.5) == ()
    assert time.monotonic() - began < 10
    assert bench.state(task_id) == "IN PROGRESS"


class SlowPops:
    """A driver whose pops reply only when they may."""

    def __init__(self, driver):
        self._driver = driver
        self.is_popped = threading.Event()
        self.may_reply = threading.Event()

    def __getattr__(self, method):
        return getattr(self._driver, method)

    def pop(self, *args, **kwargs):
        popped = self._driver.pop(*args, **kwargs)
        if popped.claims:
            self.is_popped.set()
            self.may_reply.wait(30)
        return popped


def test_a_pop_that_outlasts_the_stop_starts_nothing(make_bench, memory):
    slow = SlowPops(memory)
    bench = make_bench(slow)
    started = threading.Event()
    bench.handle("work", lambda _task: started.set())
    task_id = bench.add("work")
    bench.start()
    assert slow.is_popped.wait(10)
    bench.manager.stop(grace=0)
    (leaving,) = memory.list_workers()
    assert leaving.is_leaving, "its claims are rescued at once, not counted as a crash"
    slow.may_reply.set()
    bench.wait_state(task_id, "READY")
    assert not started.is_set()


def test_start_refuses_a_schema_that_does_not_fit(make_bench, memory):
    faulty = FaultyDriver(memory)
    bench = make_bench(faulty)
    faulty.fail("register", SchemaError("run `esync migrate`"))
    with pytest.raises(SchemaError):
        bench.start()
    assert bench.manager.running == 0
    bench.start()


# Signals reach the main thread only, which is this one.


def signal_soon(bench, *numbers):
    """Send signals to this process once the worker runs, with a moment between them."""

    def send():
        wait_until(lambda: bench.manager._engine is not None)
        for number in numbers:
            threading.Event().wait(0.3)
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains(bench, number):
    before = signal.getsignal(number)
    bench.handle("work", lambda task: "finished" if not task.cancelled.wait(0.6) else "stopped")
    task_id = bench.add("work")
    sender = signal_soon(bench, number)
    assert bench.manager.run() == ()
    sender.join()
    assert bench.message(task_id) == "finished"
    assert signal.getsignal(number) == before


def test_the_second_signal_skips_the_grace_period(make_bench, driver):
    bench = make_bench(driver, grace=60)
    gate = bench.gate()
    bench.handle("work", lambda _task: gate.wait())
    task_id = bench.add("work")
    sender = signal_soon(bench, signal.SIGTERM, signal.SIGTERM)
    (left,) = bench.manager.run()
    sender.join()
    assert left.task_id == task_id


def test_a_signal_wakes_the_main_thread(bench, monkeypatch):
    monkeypatch.setattr("esync.engine.sync_manager._LOOK_SECONDS", 3600.0)
    bench.handle("work", lambda _task: None)
    has_returned, woken = threading.Event(), []

    def rescue():
        sender.join()
        if not has_returned.wait(20):
            woken.append(bench.manager._signals)
            while not has_returned.wait(0.1):
                bench.manager._signals.wake()

    sender = signal_soon(bench, signal.SIGTERM)
    rescuer = threading.Thread(target=rescue)
    rescuer.start()
    bench.manager.run()
    has_returned.set()
    rescuer.join()
    assert not woken


def test_threads_of_coroutines_that_have_timed_out_are_told_since_they_keep_the_process(bench):
    gate = bench.gate()

    async def handler(_task):
        await asyncio.to_thread(gate.wait)

    detail = bench.perform(handler, timeout=0.1, interval=3600)
    assert detail.row.state == "RETRY"
    (left,) = bench.manager.stop()
    assert (left.name, left.is_stuck) == ("asyncio", True)
    gate.set()


def test_starts_and_stops_may_race(bench, monkeypatch):
    monkeypatch.setattr("esync.engine.sync_manager._LOOK_SECONDS", 3600.0)
    bench.handle("work", lambda _task: None)
    for _ in range(30):
        thread, results = run_in_thread(bench)
        bench.manager.stop()
        thread.join(10)
        assert results == [()]
    assert bench.driver.list_workers() == ()
