"""A worker, its producer and its errors, as the engine's tests see them."""

from __future__ import annotations

import threading
import time
from collections import deque

from fix_wait import wait_until

from esync.engine.sync_manager import SyncManager
from esync.snapshot import Attribution
from esync.task_manager import TaskManager

BY = Attribution(who="ann", host="desk", via="tests", reason="because")
QUICK = {"lease": 6.0, "heartbeat": 0.2, "poll": 0.1, "grace": 5.0}


def stays(condition, seconds=0.3):
    """Fail the test unless the condition holds all the time, for so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition()
        threading.Event().wait(0.01)


class Bench:
    """A SyncManager with short times, and what happened to it."""

    def __init__(self, driver, **settings):
        self.driver = driver
        self.producer = TaskManager(driver, created_by="tests")
        self.manager = SyncManager(driver, **{**QUICK, **settings})
        self.errors = []
        self.manager.set_error_handler(self.errors.append)
        self._gates = []

    def handle(self, name, handler, **settings):
        """Register a handler and return it."""
        self.manager.register_task_handler(handler, name, **settings)
        return handler

    def gate(self):
        """Return an event that is set when the test ends, so that no handler outlives it."""
        event = threading.Event()
        self._gates.append(event)
        return event

    def start(self):
        """Start the worker."""
        self.manager.start()
        return self

    def add(self, name, key="k", data=None, **options):
        """Add a task; return its id."""
        return self.producer.add_task(name, key, data, **options)

    def detail(self, task_id):
        """Everything about a task."""
        return self.driver.get_task(task_id)

    def state(self, task_id):
        """The state of a task."""
        return self.detail(task_id).row.state

    def message(self, task_id):
        """The message of a task."""
        return self.detail(task_id).message

    def wait_state(self, task_id, state, timeout=10):
        """Wait until a task is in a state; return everything about it."""
        wait_until(
            lambda: self.state(task_id) == state, timeout, what=f"{task_id} becoming {state}"
        )
        return self.detail(task_id)

    def perform(self, handler, data=None, **settings):
        """Let a handler perform one task; return the task once its first attempt has ended."""
        self.handle("work", handler, **{"interval": 3600, **settings})
        task_id = self.add("work", data=data)
        self.start()
        wait_until(
            lambda: self.state(task_id) not in ("READY", "IN PROGRESS"), what="the attempt's end"
        )
        return self.detail(task_id)

    def error(self, kind):
        """Wait for an error of a class and return it."""
        return wait_until(
            lambda: next((error for error in self.errors if isinstance(error, kind)), None),
            what=kind.__name__,
        )

    def close(self):
        """Let every handler go, and stop."""
        for gate in self._gates:
            gate.set()
        self.manager.stop(5)


class FaultyDriver:
    """A driver that fails when told: before a call is done, or after it."""

    def __init__(self, driver):
        self._driver = driver
        self.before: dict[str, deque] = {}
        self.after: dict[str, deque] = {}
        self.away = None
        """An exception that everything raises while it is set."""
        self.calls: deque = deque(maxlen=100_000)

    def fail(self, method, *errors, after=False):
        """Let the next calls of a method raise these errors, in turn."""
        faults = self.after if after else self.before
        faults.setdefault(method, deque()).extend(errors)

    def calls_of(self, method):
        """How often a method was called."""
        return sum(name == method for name, _ in list(self.calls))

    def __getattr__(self, method):
        real = getattr(self._driver, method)
        if not callable(real) or method in ("close", "let_pass", "get_task"):
            return real

        def call(*args, **kwargs):
            self.calls.append((method, (args, kwargs)))
            if self.away is not None and method not in ("add", "add_many"):
                raise self.away
            _raise_next(self.before.get(method))
            result = real(*args, **kwargs)
            _raise_next(self.after.get(method))
            return result

        return call


def _raise_next(errors):
    if errors:
        raise errors.popleft()
