"""How an attempt ends, for everything that a handler may do."""

from __future__ import annotations

import asyncio
import json
import os
from contextvars import ContextVar
from datetime import timedelta

import pytest
from fix_wait import wait_until

from esync.backoff import Backoff
from esync.engine.outcome import finish, judge_error, judge_result, own_delay
from esync.errors import Fail, HandlerError, Retry
from esync.task import Claim, TaskResult, TaskState, new_task_id
from esync.text import MESSAGE_LIMIT_BYTES, TRACEBACK_LIMIT_BYTES

UNLIMITED = {"backoff": Backoff(), "max_attempts": None, "seconds": 0.5, "worker": "web:1"}


def claim(**changes):
    plain = Claim(new_task_id(), "k", 1, 0, 0, "{}", None, None)
    return plain._replace(**changes)


class Hostile:
    def __getattribute__(self, name):
        raise RuntimeError(name)

    def __eq__(self, other):
        raise RuntimeError

    def __hash__(self):
        raise RuntimeError

    def __bool__(self):
        raise RuntimeError

    def __repr__(self):
        raise RuntimeError


class HostileText(str):
    __slots__ = ()

    def __str__(self):
        raise RuntimeError

    def __getitem__(self, key):
        raise RuntimeError


class Unprintable(Exception):  # noqa: N818 - it is what a handler raises
    def __str__(self):
        raise RuntimeError

    __repr__ = __str__


@pytest.mark.parametrize(
    ("result", "state", "message"),
    [
        (None, "DONE", ""),
        ("sent version 7", "DONE", "sent version 7"),
        ("", "DONE", ""),
        (TaskResult.SUCCESS, "DONE", ""),
        ((TaskResult.SUCCESS, "No Problem"), "DONE", "No Problem"),
        ((TaskResult.SUCCESS, None), "DONE", ""),
        (TaskResult.PERMANENT_FAILURE, "FAILED", ""),
        ((TaskResult.PERMANENT_FAILURE, "gone"), "FAILED", "gone"),
        (TaskResult.RETRY_FAILURE, "RETRY", ""),
        ((TaskResult.RETRY_FAILURE, "busy"), "RETRY", "busy"),
    ],
)
def test_a_result_decides_state_and_message(result, state, message):
    outcome = judge_result(result)
    assert (outcome.state, outcome.message) == (state, message)


@pytest.mark.parametrize(
    "result",
    [
        7,
        0,
        True,
        False,
        float("nan"),
        b"bytes",
        [],
        {},
        object(),
        object,
        (x for x in ()),
        (TaskResult.SUCCESS, 7),
        ("text", "text"),
        (TaskResult.SUCCESS, "a", "b"),
        (),
    ],
)
def test_any_other_result_fails_for_good(result):
    outcome = judge_result(result)
    assert outcome.state is TaskState.FAILED
    assert outcome.message == f"bad result: {type(result).__name__}"


def test_a_text_is_taken_whatever_its_class_overrides():
    assert judge_result(HostileText("odd")).message == "odd"


def test_a_hostile_result_fails_its_own_task_only():
    assert judge_result(Hostile())[:2] == (TaskState.FAILED, "bad result: Hostile")


def test_a_coroutine_that_nobody_awaits_is_closed():
    async def forgotten():
        raise AssertionError

    coroutine = forgotten()
    assert judge_result(coroutine).message == "bad result: coroutine"
    assert coroutine.cr_frame is None


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("no such plan"), "ValueError: no such plan"),
        (KeyError("plan"), "KeyError: 'plan'"),
        (ValueError(), "ValueError"),
        (SystemExit(1), "SystemExit: 1"),
        (SystemExit(), "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (asyncio.CancelledError("stop"), "CancelledError: stop"),
        (MemoryError(), "MemoryError"),
        (StopIteration(3), "StopIteration: 3"),
        (ExceptionGroup("two", [ValueError(1), TypeError(2)]), "ExceptionGroup: two (2 sub-exc"),
        (Retry("busy"), "busy"),
        (Retry(), "Retry"),
    ],
)
def test_whatever_is_raised_is_tried_again(error, message):
    outcome = judge_error(error)
    assert outcome.state is TaskState.RETRY
    assert outcome.message.startswith(message)


def test_an_unprintable_exception_is_named():
    assert judge_error(Unprintable()).message == "Unprintable: <unprintable Unprintable>"


def test_fail_is_permanent():
    assert judge_error(Fail("no such customer"))[:2] == (TaskState.FAILED, "no such customer")


def test_a_message_is_stored_whole_and_clean():
    message = finish(judge_error(Fail("a\x00b\udcffc[b]\x1b")), claim(), **UNLIMITED).message
    assert message == "a␀b\\udcffc[b]\x1b"


def test_a_huge_message_is_cut():
    message = finish(judge_result("é" * 1_000_000), claim(), **UNLIMITED).message
    assert len(message.encode()) <= MESSAGE_LIMIT_BYTES


def test_an_endless_chain_of_causes_is_cut():
    error = ValueError("first")
    for number in range(10_000):
        later = ValueError(number)
        later.__context__ = error
        error = later
    assert "9999" in judge_error(error).traceback


def test_the_end_of_a_long_traceback_is_kept():
    def deep(level):
        if level == 0:
            raise ValueError("x" * 100 + "the end")
        deep(level - 1)

    with pytest.raises(ValueError, match="the end") as caught:
        deep(200)
    trace = judge_error(caught.value).traceback
    assert len(trace.encode()) <= TRACEBACK_LIMIT_BYTES
    assert trace.rstrip().endswith("the end")


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (ExceptionGroup("in a group", [Fail("gone")]), "FAILED", "gone"),
        (ExceptionGroup("a", [ExceptionGroup("b", [Retry("busy", after=5)])]), "RETRY", "busy"),
        (ExceptionGroup("a", [OSError("no route")]), "RETRY", "OSError: no route"),
        (
            ExceptionGroup("a", [ValueError("bad"), Fail("gone")]),
            "RETRY",
            "ExceptionGroup: a (2 sub-exceptions); the first is ValueError: bad",
        ),
    ],
)
def test_a_group_of_errors_says_what_is_in_it(error, state, message):
    outcome = judge_error(error)
    assert (outcome.state, outcome.message) == (state, message)


def test_a_group_that_holds_itself_is_an_error_like_others():
    class Endless(ExceptionGroup):
        exceptions = property(lambda self: (self,))

    outcome = judge_error(Endless("round", [ValueError("bad")]))
    assert (outcome.state, outcome.message) == ("RETRY", "Endless: round (1 sub-exception)")


def test_an_error_entry_tells_what_happened():
    recorded = finish(judge_error(ValueError("no")), claim(attempt=3), **UNLIMITED)
    entry = json.loads(recorded.error)
    assert entry.pop("traceback").strip() == "ValueError: no"
    assert entry == {
        "attempt": 3,
        "outcome": "RETRY",
        "message": "ValueError: no",
        "seconds": 0.5,
        "worker": "web:1",
    }


def test_a_success_has_no_error_entry():
    assert finish(judge_result(None), claim(), **UNLIMITED).error is None


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        (30, 30.0),
        (0, 0.0),
        (timedelta(minutes=1), 60.0),
        (float("nan"), None),
        (float("inf"), None),
        (-1, None),
        (1e12, None),
        ("soon", None),
        (True, None),
        (10**400, None),
    ],
)
def test_only_a_sensible_delay_of_the_handler_counts(after, seconds):
    assert own_delay(after) == seconds


def test_max_attempts_makes_a_retry_fail():
    limits = {**UNLIMITED, "max_attempts": 3}
    outcome = judge_error(ValueError())
    assert finish(outcome, claim(tries=1), **limits).state is TaskState.RETRY
    assert finish(outcome, claim(tries=2), **limits).state is TaskState.FAILED


def test_the_delay_grows_with_the_tries():
    limits = {**UNLIMITED, "backoff": Backoff(interval=10, factor=2)}
    outcome = judge_error(ValueError())
    delays = [finish(outcome, claim(tries=tries), **limits).delay for tries in range(3)]
    assert delays == pytest.approx([10, 20, 40])


# The same through the engine.


def test_success_is_done_with_its_message(bench):
    detail = bench.perform(lambda task: f"hello {task.key}")
    assert (detail.row.state, detail.message) == ("DONE", "hello k")
    assert detail.errors == ()


def test_an_exception_is_a_retry_with_its_traceback(bench):
    def handler(task):
        raise LookupError(task.key)

    detail = bench.perform(handler)
    assert (detail.row.state, detail.message, detail.row.tries) == ("RETRY", "LookupError: k", 1)
    (error,) = detail.errors
    assert "in handler" in error["traceback"]
    assert error["outcome"] == "RETRY"


@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt(), GeneratorExit()])
def test_the_worker_survives_what_ends_programs(bench, error):
    def handler(task):
        if task.key == "k":
            raise error

    bench.perform(handler)
    other = bench.add("work", "other")
    bench.wait_state(other, "DONE")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("error", "code"), [(None, 0), (SystemExit(3), 3), (SystemExit("why"), 1), (LookupError(), 1)]
)
def test_a_forked_child_that_comes_back_performs_nothing(bench, error, code, is_async):
    def handler(_task):
        if child := os.fork():
            return f"child: {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}"
        if error is not None:
            raise error
        return None

    async def coroutine(task):
        return handler(task)

    detail = bench.perform(coroutine if is_async else handler)
    assert detail.message == f"child: {code}"


def test_a_thread_takes_nothing_of_a_handlers_context_to_the_next(bench):
    tenant = ContextVar("tenant", default="nobody")
    seen = []

    def handler(task):
        seen.append(tenant.get())
        tenant.set(task.key)

    bench.handle("work", handler, concurrency=1)
    bench.producer.add_tasks(("work", f"k{number}") for number in range(20))
    bench.start()
    wait_until(lambda: len(seen) == 20)
    assert set(seen) == {"nobody"}


def test_a_permanent_failure_is_reported(bench):
    def handler(_task):
        raise Fail("no such customer")

    detail = bench.perform(handler)
    error = bench.error(HandlerError)
    assert detail.row.state == "FAILED"
    assert error.task_id == detail.row.task_id
    assert "no such customer" in str(error)


def test_the_delay_of_retry_is_used(bench):
    def handler(task):
        if task.attempt == 1:
            raise Retry("busy", after=timedelta(seconds=0.05))

    detail = bench.perform(handler)
    bench.wait_state(detail.row.task_id, "DONE", timeout=5)


def test_a_senseless_delay_is_warned_of_once(bench, caplog):
    def handler(_task):
        raise Retry("busy", after=float("nan"))

    bench.perform(handler)
    other = bench.add("work", "other")
    bench.wait_state(other, "RETRY")
    warnings = [record for record in caplog.records if "asked for a delay" in record.message]
    assert len(warnings) == 1


def test_max_attempts_ends_failed(bench):
    def handler(_task):
        raise ValueError

    bench.handle("work", handler, interval=0, max_attempts=3)
    task_id = bench.add("work")
    bench.start()
    detail = bench.wait_state(task_id, "FAILED")
    assert (detail.row.attempts, detail.row.tries) == (3, 3)
    assert [error["attempt"] for error in detail.errors] == [1, 2, 3]


def test_undecodable_data_fails_without_the_handler(make_bench, memory):
    bench = make_bench(memory)
    called = []
    bench.handle("work", lambda task: called.append(task.key))
    task_id = bench.add("work", "k")
    memory._store.rows[task_id].raw_data = "[" * 100_000
    bench.start()
    detail = bench.wait_state(task_id, "FAILED")
    assert detail.message.startswith("undecodable data")
    assert called == []


def test_the_error_handler_may_raise(bench):
    def broken(error):
        bench.errors.append(error)
        raise RuntimeError

    def handler(_task):
        raise Fail("no")

    bench.manager.set_error_handler(broken)
    bench.handle("work", handler)
    bench.start()
    bench.add("work", "a")
    bench.add("work", "b")
    wait_until(lambda: len(bench.errors) == 2)


def test_a_handler_sees_its_task(bench):
    seen = {}

    def handler(task):
        seen.update(
            name=task.name,
            key=task.key,
            data=task.data,
            raw=json.loads(task.raw_data),
            by=task.created_by,
            attempt=task.attempt,
            id=task.id,
            at=task.created_at.tzinfo,
            deadline=task.deadline,
            remaining=task.remaining(),
            cancelled=bool(task.cancelled),
        )

    detail = bench.perform(handler, data={"reason": "address"})
    assert seen.pop("at") is not None
    assert seen == {
        "name": "work",
        "key": "k",
        "data": {"reason": "address"},
        "raw": {"reason": "address"},
        "by": "tests",
        "attempt": 1,
        "id": detail.row.task_id,
        "deadline": None,
        "remaining": None,
        "cancelled": False,
    }


def test_progress_is_shown_while_the_handler_runs(bench):
    gate = bench.gate()

    def handler(task):
        for percent in range(101):
            task.progress(f"{percent} %\x00")
        gate.wait()

    bench.handle("work", handler)
    task_id = bench.add("work")
    bench.start()
    wait_until(lambda: bench.message(task_id) == "100 %␀")
    assert bench.state(task_id) == "IN PROGRESS"
    gate.set()
    bench.wait_state(task_id, "DONE")


def test_counts_are_written(make_bench, memory):
    bench = make_bench(memory)
    bench.perform(lambda _task: None)
    wait_until(lambda: sum(bench.driver.get_overview().names[0].done) == 1)
