"""Overview: one look at the queue."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fix_console import (
    LARGE,
    SMALL,
    FakeDriver,
    last,
    name_row,
    on_console,
    unread_row,
    worker_row,
)

from esync.errors import DriverUnavailableError
from esync.snapshot import Count, Pause, Precision
from esync.task import TaskState


def busy():
    return name_row(
        "customer.sync",
        ready=Count(998_412, Precision.ESTIMATE),
        running=3,
        limit=32,
        slots=64,
        retry=Count(301),
        failed=Count(1_204),
        oldest_seconds=842.0,
        done=(*range(1, 29), 60, 30),
        failed_attempts=(0,) * 29 + (30,),
        average_seconds=0.34,
        last=last("updated 3 fields", key="C-90177"),
        last_failed=last("HTTP 429 from netsuite", key="C-88412", state=TaskState.FAILED),
    )


def paused():
    pause = Pause(by="ana@desk", reason="limit, OPS-441", seconds=720, resumes_in=None)
    return name_row("netsuite.push", ready=Count(41), oldest_seconds=7800.0, pause=pause)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_name_shows_its_counts_rate_and_last_message(size):
    async def scenario(screen):
        await screen.see("customer.sync")
        row = screen.line(">")
        for part in ("customer.sync", "~998k", "3/32", "301", "1,204", "14m02s", "60", "█"):
            assert part in row
        assert "✓ 4s ago  C-90177  updated 3 fields" in screen.text
        assert 'last FAILED  4s ago  C-88412  "HTTP 429 from netsuite"' in screen.text

    on_console(scenario, driver=FakeDriver(names=(busy(),)), size=size)


def test_the_small_screen_reads_like_this():
    async def scenario(screen):
        await screen.see("netsuite.push")
        lines = screen.lines
        assert lines[1].startswith(" READY ~998k   RUN 3/16   RETRY 301   FAILED 1,204")
        assert lines[2].startswith(" ! netsuite.push: paused by ana@desk 12m00s ago: limit")
        assert lines[3] == " [1 Overview]  2 Tasks"
        assert lines[4].split() == [
            "NAME", "READY", "RUN", "RETRY", "FAIL", "OLDEST", "DONE/m", "LAST", "MINUTES",
        ]  # fmt: skip
        assert lines[5].startswith(">! customer.sync")
        assert lines[7].startswith(" = netsuite.push")
        assert (
            lines[-1]
            == " Enter open  p pause  / filter  q quit  f freeze  r refresh  i problems  ? help"
        )

    on_console(scenario, driver=FakeDriver(names=(paused(), busy())))


def test_a_paused_name_says_by_whom_and_why():
    async def scenario(screen):
        await screen.see("PAUSED by ana@desk 12m00s ago: limit, OPS-441")

    on_console(scenario, driver=FakeDriver(names=(paused(),)))


def test_a_name_without_a_live_worker_is_the_first_problem():
    orphan = name_row("order.import", ready=Count(5), oldest_seconds=30.0, workers=0, slots=0)

    async def scenario(screen):
        await screen.see("! order.import: no live worker, oldest waits 30s")
        assert screen.line(">").startswith(">! order.import")

    on_console(scenario, driver=FakeDriver(names=(name_row("a.first"), orphan)))


def test_what_was_not_read_looks_unread_and_says_why():
    names = (unread_row("alpha", last=last()), unread_row("beta"))
    workers = (worker_row(running=None),)

    async def scenario(screen):
        await screen.see("! counts took too long to be read: a transaction is open for 11m00s")
        assert screen.lines[1].startswith(" READY ?   RUN ?/16   RETRY ?   FAILED ?   SCHED ?")
        assert screen.line("alpha").split()[:7] == [">", "alpha", "?", "?/4", "?", "?", "?"]
        await screen.see("? not read")
        assert "no attempt has ended yet" not in screen.text
        await screen.see("updated 3 fields")

    driver = FakeDriver(names=names, workers=workers, unread=("READY, RETRY",))
    on_console(scenario, driver=driver)


def test_a_list_without_names_does_not_say_that_there_are_none_when_it_was_not_read():
    async def scenario(screen):
        await screen.see("no runners yet; whether there are tasks was not read")

    on_console(scenario, driver=FakeDriver(names=(), unread=("READY, RETRY",)))


def test_every_problem_is_listed_by_i():
    names = tuple(
        name_row(f"name.number.{n}", ready=Count(1), oldest_seconds=9.0, workers=0)
        for n in range(9)
    )

    async def scenario(screen):
        await screen.see("more (i)")
        await screen.press("i")
        await screen.see("name.number.8: no live worker")

    on_console(scenario, driver=FakeDriver(names=names))


def test_the_cursor_stays_on_its_name_when_names_become_worse():
    driver = FakeDriver(names=(name_row("alpha"), name_row("beta"), name_row("gamma")))

    async def scenario(screen):
        await screen.see("gamma")
        await screen.press("j")
        assert screen.line(">").startswith(">  beta")
        driver.names = (
            name_row("alpha"),
            name_row("beta"),
            name_row("gamma", ready=Count(3), oldest_seconds=4000.0, workers=0),
        )
        await screen.see("! gamma: no live worker")
        assert screen.line(">").startswith(">  beta")
        assert screen.lines.index(screen.line(" ! gamma  ")) < screen.lines.index(screen.line(">"))

    on_console(scenario, driver=driver)


def test_frozen_names_stand_still_while_the_header_goes_on():
    driver = FakeDriver(names=(name_row("alpha", ready=Count(5)),))

    async def scenario(screen):
        await screen.see("alpha")
        await screen.press("f")
        await screen.see("FROZEN")
        driver.names = (name_row("alpha", ready=Count(7)),)
        await screen.see(" READY 7")
        assert " 5 " in screen.line(">")
        await screen.press("f")
        await screen.until(lambda: " 7 " in screen.line(">"))

    on_console(scenario, driver=driver)


def test_filter_narrows_the_names_and_escape_shows_all():
    async def scenario(screen):
        await screen.see("beta")
        await screen.press("slash")
        await screen.type("bet")
        await screen.press("enter")
        await screen.miss(" alpha ")
        await screen.press("escape")
        await screen.see(" alpha ")

    on_console(scenario, driver=FakeDriver(names=(name_row("alpha"), name_row("beta"))))


def test_an_empty_list_says_why():
    async def scenario(screen):
        await screen.see("esync add NAME KEY adds a task")

    on_console(scenario, driver=FakeDriver(names=()))


def test_a_filter_that_matches_no_name_says_so():
    async def scenario(screen):
        await screen.see("alpha")
        await screen.press("slash")
        await screen.type("zzz")
        await screen.press("enter")
        await screen.see("no task name contains 'zzz'; Esc shows all")

    on_console(scenario, driver=FakeDriver(names=(name_row("alpha"),)))


def test_a_lost_database_keeps_the_last_values_and_says_since_when():
    driver = FakeDriver(names=(name_row("alpha", ready=Count(41), oldest_seconds=3.0),))

    async def scenario(screen):
        await screen.see("alpha")
        driver.error = DriverUnavailableError("connection refused (db1:5432)")
        await screen.see("NO SIGNAL 00:0")
        assert "x connection refused (db1:5432)" in screen.text
        assert "try 1" in screen.text
        assert "actions are off while disconnected" in screen.lines[-1]
        assert ">: alpha" in screen.text
        assert "41" in screen.line("alpha")
        assert "stale" in screen.lines[1]
        driver.error = None
        await screen.press("r")
        await screen.see("LIVE")
        assert "connection refused" not in screen.text

    on_console(scenario, driver=driver)


def test_pausing_is_refused_while_the_database_is_away():
    driver = FakeDriver()

    async def scenario(screen):
        await screen.see("customer.sync")
        driver.error = DriverUnavailableError("gone")
        await screen.see("NO SIGNAL")
        await screen.press("p")
        await screen.see("nothing was changed: the database does not answer")
        assert "Pause" not in screen.text

    on_console(scenario, driver=driver)


def test_a_console_that_never_reached_the_database_says_so():
    async def scenario(screen):
        await screen.see("NO SIGNAL")
        assert "no such host" in screen.text
        assert "nothing was read yet" in screen.text

    on_console(scenario, driver=FakeDriver(error=DriverUnavailableError("no such host")))


def test_the_large_screen_has_workers_and_a_chart():
    workers = (worker_row(), worker_row(host="web-9", heartbeat_seconds=900.0))

    async def scenario(screen):
        await screen.see("done per minute, last 30 minutes")
        assert "DEAD" in screen.line("web-9 ")
        assert "2231" in screen.line("web-3")

    on_console(scenario, driver=FakeDriver(names=(busy(),), workers=workers), size=LARGE)


def test_many_names_take_one_line_each_and_can_be_scrolled():
    names = tuple(name_row(f"name.{number:03}") for number in range(40))

    async def scenario(screen):
        await screen.see("name.000")
        assert "name.013" in screen.text
        await screen.press("G")
        await screen.see("name.039")
        assert screen.line(">").startswith(">  name.039")
        await screen.press("g")
        await screen.see("name.000")

    on_console(scenario, driver=FakeDriver(names=names))


def test_wide_shows_last_messages_of_many_names():
    names = tuple(name_row(f"name.{n:03}", last=last(f"message {n}")) for n in range(40))

    async def scenario(screen):
        await screen.see("name.000")
        await screen.press("w")
        await screen.see("C-1  mes")

    on_console(scenario, driver=FakeDriver(names=names))


def test_a_resize_to_almost_nothing_and_back_changes_nothing():
    driver = FakeDriver(names=(busy(), paused()))

    async def scenario(screen):
        await screen.see("customer.sync")
        before = screen.lines[4:]
        await screen.pilot.resize_terminal(40, 10)
        await screen.pilot.pause()
        assert "customer.sync" in screen.text
        await screen.pilot.resize_terminal(*SMALL)
        await screen.until(lambda: screen.lines[4:] == before, what="the screen as it was")

    on_console(scenario, driver=driver)


def test_a_change_of_one_count_is_drawn():
    driver = FakeDriver(names=(name_row("alpha"),))

    async def scenario(screen):
        await screen.see("alpha")
        driver.names = (replace(driver.names[0], failed=Count(77)),)
        await screen.see("FAILED 77")

    on_console(scenario, driver=driver)
