"""What operators decide reaches the handlers: pauses, cancels, intervals, unknown names."""

from __future__ import annotations

import threading

from fix_engine import BY, FaultyDriver
from fix_wait import wait_until

from esync.errors import UnknownNameError


def test_a_paused_runner_pops_nothing(bench):
    bench.handle("work", lambda _task: None)
    bench.handle("other", lambda _task: None)
    bench.driver.pause(["work"], by=BY)
    paused = bench.add("work")
    bench.start()
    bench.wait_state(bench.add("other"), "DONE")
    assert bench.state(paused) == "READY"


def test_a_resumed_runner_goes_on(bench):
    bench.handle("work", lambda _task: None)
    bench.driver.pause(["work"], by=BY)
    task_id = bench.add("work")
    bench.start()
    wait_until(lambda: bench.manager.snapshot()[0].is_paused)
    bench.driver.resume(["work"], by=BY)
    bench.wait_state(task_id, "DONE")


def test_resuming_wakes_without_a_poll(make_bench, driver):
    bench = make_bench(driver, poll=2.0)
    bench.handle("work", lambda _task: None)
    bench.driver.pause(["work"], by=BY)
    task_id = bench.add("work")
    bench.start()
    wait_until(lambda: bench.manager.snapshot()[0].is_paused)
    # The listener must be there before the wake-up is sent.
    wait_until(lambda: bench.manager._engine._wakeups._listener is not None)
    bench.driver.resume(["work"], by=BY)
    bench.wait_state(task_id, "DONE", timeout=1)


def test_a_pause_that_ends_by_itself_ends_here_too(make_bench, memory):
    bench = make_bench(memory)
    bench.handle("work", lambda _task: None)
    memory.pause(["work"], by=BY, resume_after=600)
    task_id = bench.add("work")
    bench.start()
    wait_until(lambda: bench.manager.snapshot()[0].is_paused)
    memory.let_pass(601)
    bench.wait_state(task_id, "DONE")


def test_a_pause_releases_what_was_not_started(bench):
    gate = bench.gate()
    slow = threading.Event()

    def handler(task):
        if task.key == "k300":
            slow.set()
        if slow.is_set():
            gate.wait()

    bench.handle("work", handler, concurrency=1)
    bench.producer.add_tasks(("work", f"k{number}") for number in range(1500))
    bench.start()
    wait_until(slow.is_set)
    # A paused runner releases at once; without the pause it takes a second.
    bench.driver.pause(["work"], by=BY)
    wait_until(lambda: bench.manager.snapshot()[0].in_flight == 1, 0.9)
    (row,) = bench.driver.find_tasks("k300")
    assert row.state == "IN PROGRESS"
    (waiting,) = bench.driver.find_tasks("k1499")
    assert (waiting.state, waiting.tries) == ("READY", 0)
    gate.set()
    bench.wait_state(row.task_id, "DONE")
    bench.driver.resume(["work"], by=BY)
    wait_until(lambda: bench.driver.get_task_count() == 0, 20)


def test_a_running_handler_learns_of_its_cancel(bench):
    started, reasons = threading.Event(), []

    def handler(task):
        started.set()
        assert task.cancelled.wait(10)
        reasons.append(task.cancelled.reason)
        raise ValueError

    bench.handle("work", handler)
    task_id = bench.add("work")
    bench.start()
    assert started.wait(10)  # what is claimed but not started yet is given back instead
    assert bench.driver.cancel([task_id], by=BY).asked == (task_id,)
    bench.wait_state(task_id, "CANCELLED")
    assert "ann" in reasons[0]
    assert "because" in reasons[0]


def test_a_cancelled_handler_that_succeeds_is_done(bench):
    started = threading.Event()

    def handler(task):
        started.set()
        return "stopped well" if task.cancelled.wait(10) else "too late"

    bench.handle("work", handler)
    task_id = bench.add("work")
    bench.start()
    assert started.wait(10)
    bench.driver.cancel([task_id], by=BY)
    assert bench.wait_state(task_id, "DONE").message == "stopped well"


def test_a_cancelled_task_that_was_not_started_never_starts(bench):
    gate = bench.gate()
    seen = []

    def handler(task):
        seen.append(task.key)
        if task.key == "k300":
            gate.wait(0.5)

    bench.handle("work", handler, concurrency=1)
    bench.producer.add_tasks(("work", f"k{number}") for number in range(1500))
    bench.start()
    wait_until(lambda: "k300" in seen)

    def buffered():
        held = list(bench.manager._engine._runners["work"].buffer)
        return held[-1].claim.task_id

    task_id = buffered()
    assert bench.driver.cancel([task_id], by=BY).asked == (task_id,)
    detail = bench.wait_state(task_id, "CANCELLED")
    wait_until(lambda: bench.driver.get_task_count() == 0, 20)
    assert detail.row.key not in seen


def test_an_operators_interval_replaces_the_handlers(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty)
    real = faulty.look
    faulty.__dict__["look"] = lambda names, **options: real(names, **options)._replace(
        intervals={"work": 0.05}
    )

    def handler(task):
        if task.attempt < 3:
            raise ValueError

    bench.handle("work", handler, interval=3600)
    bench.start()
    wait_until(lambda: bench.manager._engine._runners["work"].backoff.interval == 0.05)
    bench.wait_state(bench.add("work"), "DONE", timeout=3)


def test_a_senseless_interval_of_an_operator_is_ignored(bench):
    bench.handle("work", lambda _task: None, interval=60)
    bench.start()
    runner = bench.manager._engine._runners["work"]
    for interval in (float("nan"), float("inf"), -1.0, 1e30):
        runner.set_interval(interval)
        assert runner.backoff.interval == 60


def test_an_unknown_name_is_cancelled_and_reported(make_bench, driver):
    bench = make_bench(driver, lease=0.6, heartbeat=0.1, unhandled_grace=0.0)
    bench.handle("work", lambda _task: None)
    task_id = bench.add("nobody knows it")
    bench.start()
    bench.wait_state(task_id, "CANCELLED")
    error = bench.error(UnknownNameError)
    assert (error.name, error.count) == ("nobody knows it", 1)


def test_a_name_that_was_known_is_waited_for(make_bench, driver):
    bench = make_bench(driver, lease=0.6, heartbeat=0.1, unhandled_grace=0.0)
    bench.handle("work", lambda _task: None)
    bench.start()
    bench.manager.stop()
    other = make_bench(driver, lease=0.6, heartbeat=0.1, unhandled_grace=0.0)
    other.handle("other", lambda _task: None)
    waiting = bench.add("work")
    unknown = bench.add("unknown")
    other.start()
    other.wait_state(unknown, "CANCELLED")
    assert other.state(waiting) == "READY"


def test_cancelled_waits_and_wakes_many(bench):
    started, woken = threading.Event(), []

    def handler(task):
        waiters = [
            threading.Thread(target=lambda: woken.append(task.cancelled.wait(10))) for _ in range(3)
        ]
        for waiter in waiters:
            waiter.start()
        assert not task.cancelled.wait(0.01)
        started.set()
        for waiter in waiters:
            waiter.join()
        assert task.cancelled.wait(0)

    bench.handle("work", handler)
    task_id = bench.add("work")
    bench.start()
    assert started.wait(10)
    bench.driver.cancel([task_id], by=BY)
    bench.wait_state(task_id, "DONE")
    assert woken == [True] * 3
