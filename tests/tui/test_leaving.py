"""Leaving: at once without an engine; with one, after its handlers, or when told twice."""

from __future__ import annotations

import logging
import sys
import threading

import pytest
from fix_console import FakeDriver, on_console

from esync.errors import EsyncError
from esync.snapshot import ActionResult, ActionVerb
from esync_tui.logs import LogTail


class FakeEngine:
    """Runs as many handlers as it is told to, until they are allowed to end."""

    def __init__(self, *, running=0, error=None):
        self.running = running
        self.error = error
        self.graces = []
        self.may_end = threading.Event()
        self.is_started = threading.Event()

    def start(self):
        if self.error is not None:
            raise self.error
        self.is_started.set()

    def stop(self, grace):
        self.graces.append(grace)
        if self.running:
            self.may_end.wait(grace)
        if self.may_end.is_set():
            self.running = 0
        return self.running


def test_q_leaves_at_once_without_an_engine():
    async def scenario(screen):
        await screen.see("customer.sync")
        await screen.press("q")
        await screen.until(lambda: not screen.app.is_running)

    assert on_console(scenario) == 0


def test_control_c_twice_leaves():
    async def scenario(screen):
        await screen.see("customer.sync")
        await screen.press("ctrl+c")
        await screen.see("ctrl+c again, or q, leaves")
        await screen.press("ctrl+c")
        await screen.until(lambda: not screen.app.is_running)

    assert on_console(scenario) == 0


def test_a_console_with_an_engine_inside_is_not_suspended():
    async def scenario(screen):
        await screen.press("ctrl+z")
        await screen.see("not suspended: its tasks would be given to others; q leaves")
        await screen.press("q")

    assert on_console(scenario, engine=FakeEngine()) == 0


def test_an_engine_without_running_handlers_is_stopped_unasked():
    engine = FakeEngine()

    async def scenario(screen):
        await screen.until(engine.is_started.is_set)
        await screen.press("q")
        await screen.until(lambda: not screen.app.is_running)

    assert on_console(scenario, engine=engine) == 0
    assert engine.graces == [30.0]


def test_running_handlers_are_asked_about_and_then_drained():
    engine = FakeEngine(running=3)

    async def scenario(screen):
        await screen.see("worker inside: 3 running")
        await screen.press("q")
        await screen.see("3 handlers run inside; let them finish and leave?")
        await screen.press("n")
        assert engine.graces == []
        await screen.press("q", "y")
        await screen.see("draining 3 tasks, q again to stop now")
        assert screen.app.is_running
        engine.may_end.set()
        await screen.until(lambda: not screen.app.is_running)

    assert on_console(scenario, engine=engine) == 0


def test_q_again_stops_now_and_says_that_handlers_still_run():
    engine = FakeEngine(running=1)

    async def scenario(screen):
        await screen.see("worker inside: 1 running")
        await screen.press("q", "y")
        await screen.see("draining 1 task, q again to stop now")
        await screen.press("q")
        await screen.until(lambda: not screen.app.is_running)
        engine.may_end.set()

    assert on_console(scenario, engine=engine) == 5
    assert engine.graces == [30.0, 0.0]


def test_an_engine_that_does_not_answer_is_left_behind(monkeypatch):
    monkeypatch.setattr("esync_tui.app.HURRY_SECONDS", 0.1)
    never = threading.Event()

    class Deaf(FakeEngine):
        def stop(self, grace):
            self.graces.append(grace)
            never.wait(60)
            return 0

    engine = Deaf(running=1)

    async def scenario(screen):
        await screen.see("worker inside: 1 running")
        await screen.press("q", "y")
        await screen.see("draining 1 task")
        await screen.press("q")
        await screen.until(lambda: not screen.app.is_running)

    assert on_console(scenario, engine=engine) == 5
    never.set()


def test_an_engine_that_cannot_start_is_the_first_problem():
    engine = FakeEngine(error=RuntimeError("no such table [/b]"))

    async def scenario(screen):
        await screen.see("! engine: could not be started: no such table [/b]")
        assert "LIVE" in screen.text

    logging.getLogger("esync.console").addHandler(logging.NullHandler())
    on_console(scenario, engine=engine)


@pytest.mark.parametrize(("error", "has_traceback"), [(EsyncError, False), (ValueError, True)])
def test_an_engine_that_cannot_stop_says_why_in_a_line(error, has_traceback, caplog):
    class Broken(FakeEngine):
        def stop(self, _grace):
            raise error("its process has ended")

    async def scenario(screen):
        await screen.see("customer.sync")
        await screen.press("q")
        await screen.until(lambda: not screen.app.is_running)

    on_console(scenario, engine=Broken())
    (record,) = [one for one in caplog.records if one.name == "esync.console"]
    assert record.getMessage() == "engine: could not be stopped: its process has ended"
    assert bool(record.exc_info) is has_traceback


def test_an_action_under_way_is_asked_about():
    release = threading.Event()

    class Slow(FakeDriver):
        def pause(self, names, **_changes):
            release.wait(10)
            return ActionResult(verb=ActionVerb.PAUSE, names=tuple(names))

    async def scenario(screen):
        await screen.see("customer.sync")
        await screen.press("p", "y")
        await screen.see("pause customer.sync …")
        await screen.press("q")
        await screen.see("pause customer.sync is under way; leave all the same?")
        await screen.press("n")
        release.set()
        await screen.see("paused customer.sync")

    on_console(scenario, driver=Slow())


def test_the_log_shows_what_handlers_print():
    tail = LogTail()

    async def scenario(screen):
        await screen.see("customer.sync")
        await screen.press("l")
        print("a handler [/b] printed \x1b[2J")  # noqa: T201 - what handlers do
        print("and complained", file=sys.stderr)  # noqa: T201 - the same
        await screen.see("a handler [/b] printed ␛[2J")
        await screen.see("and complained")
        await screen.press("l")
        await screen.miss("and complained")

    on_console(scenario, engine=FakeEngine(), tail=tail)


def test_the_log_follows_its_end_until_one_scrolls_away():
    tail = LogTail()

    async def scenario(screen):
        await screen.see("customer.sync")
        await screen.press("l")
        for number in range(50):
            tail.add(f"line {number}")
        await screen.see("line 49")
        pane = screen.app.screen.query_one("#log")

        def is_at_the_start():  # a scroll to the end may still be on its way
            pane.scroll_to(y=0, animate=False, immediate=True)
            return " line 0" in screen.text

        await screen.until(is_at_the_start)
        tail.add("line 50")
        await screen.until(lambda: "line 50" in pane.text)
        await screen.see(" line 0")
        assert "line 50" not in screen.text

    on_console(scenario, engine=FakeEngine(), tail=tail)


def test_without_an_engine_there_is_no_log_to_show():
    async def scenario(screen):
        await screen.see("customer.sync")
        await screen.press("l")
        await screen.see("no engine runs inside")

    on_console(scenario)
