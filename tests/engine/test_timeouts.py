"""Handlers that take too long, in threads and as coroutines."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest
from fix_wait import wait_until

from esync.errors import HandlerError


def stuck_until(gate):
    """A handler that hangs on the key 'k' and on every key that begins with 'stuck'."""

    def handler(task):
        if task.key == "k" or task.key.startswith("stuck"):
            gate.wait(30)
        return "late" if gate.is_set() else "quick"

    return handler


def test_a_handler_in_time_succeeds(bench):
    def handler(task):
        assert task.deadline is not None
        return f"{0 < task.remaining() <= 30}"

    assert bench.perform(handler, timeout=30).message == "True"


def test_a_cooperative_handler_sees_its_timeout(bench):
    def handler(task):
        assert task.cancelled.wait(10)
        assert task.remaining() == 0
        return "stopped"

    detail = bench.perform(handler, timeout=0.1)
    assert (detail.row.state, detail.message) == ("RETRY", "timed out after 0.1 s")


def test_a_stuck_thread_is_replaced_at_once_and_its_key_is_held(bench):
    gate = bench.gate()
    bench.handle("work", stuck_until(gate), timeout=0.1, concurrency=1, interval=0)
    task_id = bench.add("work")
    bench.start()
    wait_until(lambda: bench.manager.snapshot()[0].stuck == 1)
    # With its only slot replaced, others go on ...
    bench.wait_state(bench.add("work", "other"), "DONE")
    # ... and the key does not: a newer request waits for the thread's end.
    newer = bench.add("work")
    bench.wait_state(bench.add("work", "another"), "DONE")
    assert (bench.state(task_id), bench.state(newer)) == ("IN PROGRESS", "READY")
    gate.set()
    bench.wait_state(newer, "DONE")
    detail = bench.detail(task_id)
    assert detail.errors[0]["message"] == "timed out after 0.1 s"


def test_a_held_timeout_counts_for_max_attempts(bench):
    gate = bench.gate()
    bench.handle("work", stuck_until(gate), timeout=0.1, max_attempts=1)
    task_id = bench.add("work")
    bench.start()
    wait_until(lambda: bench.manager.snapshot()[0].stuck == 1)
    gate.set()
    assert bench.wait_state(task_id, "FAILED").message == "timed out after 0.1 s"


def test_release_lets_the_key_go_at_once(bench):
    gate = bench.gate()
    calls = []

    def handler(task):
        calls.append(task.attempt)
        if task.attempt == 1:
            gate.wait(30)
            return "late result"
        return "second attempt"

    bench.handle("work", handler, timeout=0.1, interval=0, on_timeout="release")
    task_id = bench.add("work")
    bench.start()
    detail = bench.wait_state(task_id, "DONE")
    assert (calls, detail.message) == ([1, 2], "second attempt")
    gate.set()
    wait_until(lambda: bench.manager.snapshot()[0].stuck == 0)
    assert bench.message(task_id) == "second attempt"
    assert bench.errors == []


def test_too_many_stuck_threads_stop_the_runner_and_are_reported(bench, caplog):
    gate = bench.gate()
    bench.handle("work", stuck_until(gate), timeout=0.1, concurrency=2, max_stuck=1)
    bench.handle("other", lambda _task: None)
    for number in range(2):
        bench.add("work", f"stuck{number}")
    bench.start()
    error = bench.error(HandlerError)
    assert "2 threads are stuck, more than max_stuck 1" in str(error)
    waiting = bench.add("work", "quick")
    bench.wait_state(bench.add("other"), "DONE")
    assert bench.state(waiting) == "READY"
    gate.set()
    bench.wait_state(waiting, "DONE")
    wait_until(lambda: "pops again" in caplog.text or bench.manager.snapshot()[0].stuck == 0)
    assert len(bench.errors) == 1


def test_exactly_one_outcome_when_time_and_handler_end_together(bench):
    release = threading.Event()

    def handler(task):
        task.cancelled.wait(0.1)

    bench.handle("work", handler, timeout=0.1, interval=3600, concurrency=20)
    bench.producer.add_tasks(("work", f"k{number}") for number in range(40))
    bench.start()
    wait_until(lambda: bench.manager.snapshot()[0].in_flight == 0 and not release.is_set())
    wait_until(
        lambda: all(
            row.state in ("DONE", "RETRY")
            for number in range(40)
            for row in bench.driver.find_tasks(f"k{number}")
        )
    )
    rows = [row for number in range(40) for row in bench.driver.find_tasks(f"k{number}")]
    assert {row.attempts for row in rows} == {1}
    assert bench.errors == []


# Coroutines.


def test_an_async_handler_is_performed(bench):
    async def handler(task):
        await asyncio.sleep(0)
        return f"{threading.current_thread().name} {task.key}"

    assert bench.perform(handler).message == "esync-async k"


def test_an_object_with_async_do_is_performed(bench):
    class Push:
        async def do(self, task):
            await asyncio.sleep(0)
            return task.key

    assert bench.perform(Push()).message == "k"


def test_an_object_with_async_call_is_performed(bench):
    class Push:
        async def __call__(self, task):
            return task.key

    assert bench.perform(Push()).message == "k"


def test_async_handlers_run_at_once_up_to_concurrency(bench):
    now = most = done = 0

    async def handler(_task):
        nonlocal now, most, done
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        done += 1

    bench.handle("work", handler, concurrency=10)
    bench.producer.add_tasks(("work", f"k{number}") for number in range(50))
    bench.start()
    wait_until(lambda: done == 50)
    assert most == 10


def test_an_async_handler_is_cancelled_at_its_timeout(bench):
    ended = threading.Event()

    async def handler(_task):
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    detail = bench.perform(handler, timeout=0.1)
    assert ended.is_set()
    assert (detail.row.state, detail.message) == ("RETRY", "timed out after 0.1 s")


def test_a_timeout_error_of_its_own_is_told_as_it_is(bench):
    async def handler(_task):
        raise TimeoutError("the target is slow")

    assert bench.perform(handler, timeout=30).message == "TimeoutError: the target is slow"


@pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(1), KeyboardInterrupt()])
def test_the_loop_survives_what_coroutines_raise(bench, error):
    async def handler(task):
        if task.key == "k":
            raise error
        return "fine"

    assert bench.perform(handler).row.state == "RETRY"
    bench.wait_state(bench.add("work", "other"), "DONE")


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_the_loop_survives_what_the_tasks_of_coroutines_raise(bench, error):
    async def give_up():
        raise error

    async def handler(task):
        if task.key == "k":
            await asyncio.gather(give_up())
        return "fine"

    detail = bench.perform(handler, timeout=30)
    assert detail.row.state == "RETRY"
    assert detail.message.startswith(type(error).__name__)
    bench.wait_state(bench.add("work", "other"), "DONE")


def test_what_an_async_attempt_leaves_behind_does_not_meet_the_next_one(bench):
    tenant = ContextVar("tenant", default="none")
    earlier = set()

    async def handler(task):
        for one in earlier:  # as a library that gives up late
            one.cancel()
        await asyncio.sleep(0)
        earlier.add(asyncio.current_task())
        found = tenant.get()
        tenant.set(task.key)
        return found

    bench.handle("work", handler, concurrency=1)
    bench.producer.add_tasks(("work", f"k{number}") for number in range(100))
    bench.start()
    wait_until(lambda: bench.producer.get_task_count() == 0)
    rows = [bench.driver.find_tasks(f"k{number}")[0] for number in range(100)]
    assert {(row.state, row.message) for row in rows} == {("DONE", "none")}
    assert len(earlier) == 100


def test_a_handler_that_cancels_every_task_costs_no_slot(bench):
    async def handler(task):
        await asyncio.sleep(0)
        if task.key == "bad" and task.attempt == 1:
            for one in asyncio.all_tasks():
                one.cancel()
            await asyncio.sleep(0)

    bench.handle("work", handler, concurrency=4, interval=0.01)
    bench.producer.add_tasks(("work", f"k{number}") for number in range(200))
    bench.add("work", "bad")
    bench.producer.add_tasks(("work", f"l{number}") for number in range(200))
    bench.start()
    wait_until(lambda: bench.producer.get_task_count() == 0)
    assert bench.driver.find_tasks("bad")[0].attempts == 2


def test_what_handlers_leave_on_the_loop_is_cancelled_at_a_stop(bench):
    ended = threading.Event()

    async def linger():
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()

    left = []

    async def handler(_task):
        left.append(asyncio.create_task(linger()))
        await asyncio.sleep(0)

    bench.perform(handler)
    assert bench.manager.stop(5) == ()
    assert ended.wait(5)


def test_many_quick_coroutines_do_not_starve_a_second_name(bench):
    async def quick(_task):
        return None

    bench.handle("many", quick, concurrency=100)
    bench.handle("few", quick)
    bench.producer.add_tasks(("many", f"k{number}") for number in range(3000))
    bench.start()
    bench.wait_state(bench.add("few"), "DONE", timeout=3)
