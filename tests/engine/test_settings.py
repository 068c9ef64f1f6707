"""Every setting is checked where it is given, and the message says the rule."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from functools import partial

import pytest
from fix_wait import wait_until

from esync.engine.sync_manager import SyncManager
from esync.errors import SettingError, TaskValueError


@pytest.fixture
def manager(memory):
    return SyncManager(memory)


class Handler:
    def do(self, task):
        return task.key


def register(manager, handler=Handler(), name="work", **settings):  # noqa: B008 - it is stateless
    manager.register_task_handler(handler, name, **settings)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"concurrency": 0}, "concurrency must be at least 1, got 0"),
        ({"concurrency": 1001}, "concurrency must be at most 1000, got 1001"),
        ({"concurrency": 2.5}, "concurrency must be a whole number, got 2.5"),
        ({"concurrency": True}, "concurrency must be a whole number, got True"),
        ({"limit": 0}, "limit must be at least 1, got 0"),
        ({"max_attempts": 0}, "max_attempts must be at least 1, got 0"),
        ({"max_stuck": -1}, "max_stuck must be at least 0, got -1"),
        ({"timeout": 0}, "timeout must be between 0.001 and"),
        ({"timeout": float("nan")}, "timeout must be between 0.001 and"),
        ({"timeout": "30"}, "timeout must be seconds or a timedelta, got str"),
        ({"interval": -1}, "interval must be between 0 and"),
        ({"interval": float("inf")}, "interval must be between 0 and"),
        ({"interval": None}, "interval must be seconds or a timedelta, got NoneType"),
        ({"backoff": 0.5}, "backoff must be between 1 and 100, got 0.5"),
        ({"jitter": 2}, "jitter must be between 0 and 1, got 2"),
        ({"max_interval": -1}, "max_interval must be between 0 and"),
        ({"on_timeout": "kill"}, "on_timeout must be 'hold' or 'release', got 'kill'"),
    ],
)
def test_a_bad_setting_of_a_handler_is_refused(manager, settings, text):
    with pytest.raises(SettingError) as caught:
        register(manager, **settings)
    assert text in str(caught.value)
    assert manager.names == ()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"lease": 0}, "lease must be between"),
        ({"lease": float("nan")}, "lease must be between"),
        ({"lease": "30"}, "lease must be seconds, got str"),
        ({"lease": 30, "heartbeat": 11}, "lease must be at least 3 heartbeats"),
        ({"heartbeat": 0}, "heartbeat must be between"),
        ({"poll": 0}, "poll must be between"),
        ({"poll": -1}, "poll must be between"),
        ({"grace": -1}, "grace must be between"),
        ({"max_crashes": 0}, "max_crashes must be at least 1, got 0"),
        ({"unhandled_grace": -1}, "unhandled_grace must be between"),
        ({"forget_after": -1}, "forget_after must be between"),
    ],
)
def test_a_bad_setting_of_the_worker_is_refused(memory, settings, text):
    with pytest.raises(SettingError) as caught:
        SyncManager(memory, **settings)
    assert text in str(caught.value)


def test_the_heartbeat_follows_the_lease(memory):
    assert SyncManager(memory, lease=60).settings.beat_interval == 10


def test_configure_changes_what_is_given(manager):
    manager.configure(lease=12, poll=0.5)
    manager.configure(grace=3)
    settings = manager.settings
    assert (settings.lease, settings.poll, settings.grace, settings.beat_interval) == (
        12,
        0.5,
        3,
        2,
    )
    with pytest.raises(SettingError):
        manager.configure(heartbeat=5)
    assert manager.settings.heartbeat is None


def test_durations_may_be_timedeltas(manager):
    register(
        manager,
        interval=timedelta(minutes=1),
        timeout=timedelta(seconds=30),
        max_interval=timedelta(hours=1),
    )
    settings = manager._registrations["work"].settings
    assert (settings.timeout, settings.backoff.interval, settings.backoff.max_interval) == (
        30,
        60,
        3600,
    )


def test_a_name_is_registered_once(manager):
    register(manager)
    with pytest.raises(SettingError, match="name must be registered once, got 'work' again"):
        register(manager)


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", None])
def test_a_bad_name_is_refused(manager, name):
    with pytest.raises(TaskValueError, match="task name"):
        register(manager, name=name)


def test_nothing_is_registered_while_the_worker_runs(make_bench, memory):
    bench = make_bench(memory)
    bench.start()
    for change in (
        partial(register, bench.manager),
        partial(bench.manager.schedule, lambda: None, 1, name="tick"),
        partial(bench.manager.set_error_handler, print),
        partial(bench.manager.on_event, print),
        partial(bench.manager.configure, lease=60),
    ):
        with pytest.raises(SettingError, match="before the worker starts"):
            change()


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (Handler, "handler must be an object with do(task), or a function, got class Handler"),
        (None, "handler must be an object with do(task), or a function, got an instance of NoneTy"),
        ("text", "got an instance of str"),
        (lambda: None, "handler must take one argument, the task"),
        (lambda _a, _b: None, "handler must take one argument, the task"),
    ],
)
def test_what_cannot_be_called_with_a_task_is_refused(manager, handler, text):
    with pytest.raises(SettingError) as caught:
        register(manager, handler)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "handler",
    [Handler(), Handler().do, lambda task: task.key, partial(lambda _n, t: t.key, 1), print],
)
def test_anything_that_takes_a_task_is_a_handler(manager, handler):
    register(manager, handler)
    assert manager.names == ("work",)


def test_the_decorator_registers_and_returns_the_function(manager):
    @manager.handler("work", limit=1, stream="netsuite")
    async def push(task):
        return task.key

    assert push.__name__ == "push"
    registration = manager._registrations["work"]
    assert (registration.settings.limit, registration.settings.stream) == (1, "netsuite")


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        ("", "stream must not be empty"),
        ("x" * 65, "stream must have at most 64 characters, got 65"),
        (7, "stream must be a str, got int"),
        ("a\x00", "stream must not contain control characters, got U+0000"),
    ],
)
def test_a_bad_stream_is_refused_of_handlers_and_actions(manager, stream, text):
    with pytest.raises(TaskValueError, match=re.escape(text)):
        register(manager, stream=stream)
    with pytest.raises(TaskValueError, match=re.escape(text)):
        manager.schedule(print, 1, stream=stream)
    assert manager.names == ()


def test_a_bad_name_of_an_action_is_refused(manager):
    with pytest.raises(TaskValueError, match="action name must have at most 64 characters"):
        manager.schedule(print, 1, name="x" * 65)


def test_an_error_handler_must_be_callable(manager):
    with pytest.raises(SettingError, match="error handler must be callable, got int"):
        manager.set_error_handler(7)


def test_errors_are_logged_by_default(make_bench, memory, caplog):
    bench = make_bench(memory)
    bench.manager._on_error = SyncManager(memory)._on_error
    bench.handle("work", lambda _task: 7)
    bench.add("work")
    bench.start()
    wait_until(lambda: "failed for good: bad result: int" in caplog.text)


def test_a_worker_without_handlers_runs_its_actions(make_bench, memory):
    bench = make_bench(memory)
    ran = threading.Event()
    bench.manager.schedule(ran.set, 0.05, name="tick")
    bench.start()
    assert ran.wait(10)
