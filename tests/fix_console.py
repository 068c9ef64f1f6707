"""A console without a terminal: hand-made pictures, and a pilot that reads the screen."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from esync.operations import Operations
from esync.snapshot import (
    Count,
    LastMessage,
    NameRow,
    Overview,
    Precision,
    TaskDetail,
    TaskPage,
    TaskRow,
    WorkerRow,
)
from esync.task import TaskState
from esync_tui.app import Console

NOW = datetime(2026, 11, 24, 12, 41, 30, tzinfo=UTC)
SMALL, LARGE = (80, 24), (120, 40)
PATIENCE = 20.0


def name_row(name="customer.sync", **changes):
    parts = {
        "name": name,
        "ready": Count(0),
        "scheduled": Count(0),
        "running": 0,
        "retry": Count(0),
        "failed": Count(0),
        "oldest_seconds": None,
        "limit": None,
        "stream": None,
        "slots": 4,
        "workers": 1,
        "is_known": True,
        "pause": None,
        "done": (0,) * 30,
        "failed_attempts": (0,) * 30,
        "average_seconds": None,
        "last": None,
        "last_failed": None,
    }
    return NameRow(**(parts | changes))


def unread_row(name="customer.sync", **changes):
    """A name of which there was no time to read the tasks."""
    unread = Count(0, Precision.UNREAD)
    counts = dict.fromkeys(("ready", "scheduled", "retry", "failed"), unread)
    return name_row(name, **(counts | {"running": None} | changes))


def last(message="updated 3 fields", **changes):
    parts = {"state": TaskState.DONE, "key": "C-1", "message": message, "seconds": 4.0}
    return LastMessage(**(parts | changes))


def worker_row(**changes):
    parts = {
        "worker_id": UUID(int=7),
        "host": "web-3",
        "pid": 2231,
        "names": ("customer.sync",),
        "slots": 16,
        "running": 0,
        "started_seconds": 100.0,
        "heartbeat_seconds": 1.0,
        "lease_seconds": 30.0,
        "is_leaving": False,
        "version": "1",
    }
    return WorkerRow(**(parts | changes))


def task_row(number=1, **changes):
    parts = {
        "task_id": UUID(int=number),
        "name": "customer.sync",
        "key": f"C-{number}",
        "state": "FAILED",
        "seq": number,
        "priority": 5,
        "attempts": 5,
        "tries": 5,
        "crashes": 0,
        "created_at": NOW - timedelta(hours=1, minutes=2),
        "created_by": "web-3",
        "do_after": NOW - timedelta(hours=1),
        "last_attempted": NOW - timedelta(seconds=4),
        "message": "HTTP 429 from netsuite",
        "worker": "web-3:2231",
        "superseded_by": None,
        "cancel_requested": None,
        "has_newer": False,
    }
    return TaskRow(**(parts | changes))


@dataclass
class FakeDriver:
    """Answers with what the test has put into it; raises `error` when there is one."""

    names: tuple = (name_row(),)
    workers: tuple = (worker_row(),)
    rows: tuple = ()
    next: object = None
    unread: tuple = ()
    """What the list of tasks leaves out; the overview is partial then."""
    matched: Count | None = None
    details: dict = field(default_factory=dict)
    error: Exception | None = None
    page_error: Exception | None = None
    at: datetime = NOW
    reads: list = field(default_factory=list)

    def check_schema(self):
        pass

    def get_overview(self, *, minutes=30):
        self._read("overview", minutes)
        return Overview(
            at=self.at,
            names=self.names,
            workers=self.workers,
            oldest_transaction_seconds=660.0 if self.unread else None,
            is_partial=bool(self.unread),
        )

    def list_workers(self):
        self._read("workers")
        return self.workers

    def list_tasks(self, where, *, limit, after=None):
        self._read("page", where, after)
        if self.page_error is not None:
            raise self.page_error
        return TaskPage(rows=self.rows[:limit], next=self.next, unread=self.unread)

    def count_tasks(self, where, *, cap=10_000):
        self._read("count", where)
        return self.matched or Count(min(cap, len(self.rows)))

    def get_task(self, task_id):
        self._read("task", task_id)
        detail = self.details.get(task_id)
        if detail is None:
            row = next((row for row in self.rows if row.task_id == task_id), None)
            detail = None if row is None else detail_of(row)
        return detail

    def _read(self, *what):
        self.reads.append(what)
        if self.error is not None:
            raise self.error


def detail_of(row, **changes):
    parts = {
        "row": row,
        "message": row.message,
        "raw_data": '{"customer_id": 42}',
        "errors": (),
        "history": (row,),
    }
    parts |= changes
    return TaskDetail(**({"data_length": len(parts["raw_data"])} | parts))


class Screen:
    """What a test sees and does: the text of the screen, keys, and waiting for a fact."""

    def __init__(self, app, pilot):
        self.app = app
        self.pilot = pilot

    @property
    def lines(self):
        return [strip.text.rstrip() for strip in self.app.screen._compositor.render_strips()]

    @property
    def text(self):
        return "\n".join(self.lines)

    def line(self, part):
        """Return the one line that holds a text."""
        return next((line for line in self.lines if part in line), "")

    async def press(self, *keys):
        await self.pilot.press(*keys)

    async def type(self, text):
        """Put a text into the field that has the keys: faster than its keys one by one."""
        self.app.focused.value = text
        await self.pilot.pause(0)

    async def fill(self, field, text):
        """Put a text into a field, and give it the keys."""
        widget = self.app.screen.query_one(field)
        self.app.screen.set_focus(widget)
        widget.value = text
        await self.pilot.pause(0)

    async def see(self, part):
        """Wait until the screen shows a text."""
        await self.until(lambda: part in self.text, what=part)

    async def miss(self, part):
        """Wait until the screen no longer shows a text."""
        await self.until(lambda: part not in self.text, what=f"no {part}")

    async def until(self, condition, *, what=""):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"did not come true: {what or condition}\n{self.text}")
            await self.pilot.pause(0.01)


def on_console(scenario, *, driver=None, size=SMALL, engine=None, interval=0.2, **settings):
    """Run a scenario on a console; return the exit code that the console ended with."""
    driver = driver or FakeDriver()
    operations = Operations(driver, who="ana", host="desk", via="console")
    settings = {"guard": 0.0} | settings

    async def run():
        app = Console(
            driver,
            operations,
            title="sync@db1/app",
            engine=engine,
            interval=interval,
            **settings,
        )
        try:
            async with app.run_test(size=size, notifications=True) as pilot:
                screen = Screen(app, pilot)
                await screen.until(lambda: app.state.picture.signal.next_at > 0, what="a poll")
                await pilot.pause()
                await scenario(screen)
        finally:
            app.end_threads()
        return app.return_value

    return asyncio.run(run())
