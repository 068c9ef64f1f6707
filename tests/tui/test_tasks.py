"""Tasks and Detail: which tasks, what is known of one, and the history of its key."""

from __future__ import annotations

import threading
from dataclasses import replace
from uuid import UUID

from fix_console import LARGE, PATIENCE, SMALL, FakeDriver, detail_of, on_console, task_row

from esync.errors import DriverUnavailableError
from esync.snapshot import Count, Cursor, Filter, Precision
from esync.task import TaskState
from esync_tui.widgets.table import Table


def rows(count, **changes):
    return tuple(task_row(number, **changes) for number in range(1, count + 1))


def last_where(driver):
    return next(read[1] for read in reversed(driver.reads) if read[0] == "page")


async def open_tasks(screen):
    await screen.press("2")
    await screen.see("rows 1-")


def test_a_task_shows_state_tries_age_and_message():
    async def scenario(screen):
        await open_tasks(screen)
        row = screen.line(">")
        for part in ("C-1", "customer.sync", "✗ FAILED", "5", "1h02m", "4s", "HTTP 429"):
            assert part in row

    on_console(scenario, driver=FakeDriver(rows=rows(3)))


def test_enter_on_a_name_lists_its_tasks_in_the_worst_state():
    driver = FakeDriver(rows=rows(2))
    driver.names = (replace(driver.names[0], failed=Count(2), ready=Count(9)),)

    async def scenario(screen):
        await screen.see("customer.sync")
        await screen.press("enter")
        await screen.see("/ name:customer.sync state:failed")
        assert "[FAILED 2]" in screen.text
        assert last_where(driver) == Filter(names=("customer.sync",), states=(TaskState.FAILED,))
        assert " NAME " not in screen.text

    on_console(scenario, driver=driver)


def test_a_filter_line_is_read_and_asked_for():
    driver = FakeDriver(rows=rows(2))

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("slash")
        await screen.type('name:a,b err:"HTTP 429" since:2h C-8')
        await screen.press("enter")
        await screen.until(
            lambda: (
                last_where(driver)
                == Filter(names=("a", "b"), key_prefix="C-8", error="HTTP 429", since=7200.0)
            )
        )
        await screen.press("escape")
        await screen.until(lambda: last_where(driver) == Filter())

    on_console(scenario, driver=driver)


def test_how_many_match_is_not_told_of_another_filter():
    driver = FakeDriver(rows=rows(2), matched=Count(412), next=Cursor(2, ("a",)))

    async def scenario(screen):
        await open_tasks(screen)
        await screen.see("412 match")
        driver.page_error = DriverUnavailableError("too slow")
        await screen.press("slash")
        await screen.type("name:b")
        await screen.press("enter")
        await screen.see("not read again: too slow")
        assert "412" not in screen.text
        driver.page_error, driver.matched = None, Count(7)
        await screen.see("7 match")

    on_console(scenario, driver=driver)


def test_a_filter_that_cannot_be_read_says_where():
    driver = FakeDriver(rows=rows(2))

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("slash")
        await screen.type("name:a state:broken")
        await screen.press("enter")
        await screen.see("filter: state: is one of READY")
        assert last_where(driver) == Filter()

    on_console(scenario, driver=driver)


def test_the_states_are_walked_with_brackets():
    driver = FakeDriver(rows=rows(2))

    async def scenario(screen):
        await open_tasks(screen)
        for state in ("READY", "RUN", "RETRY", "FAILED", "CANC", "DONE", "All"):
            await screen.press("right_square_bracket")
            await screen.see(f"[{state}")
        await screen.press("left_square_bracket")
        await screen.see("[DONE")

    on_console(scenario, driver=driver)


def test_the_cursor_stays_on_its_key_when_rows_come_above_it():
    driver = FakeDriver(rows=rows(5))

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("j", "j")
        assert "C-3" in screen.line(">")
        driver.rows = (task_row(77), task_row(78), *driver.rows)
        await screen.see("C-78")
        assert "C-3" in screen.line(">")

    on_console(scenario, driver=driver)


def test_a_row_that_left_the_list_is_struck_through_and_not_acted_on():
    driver = FakeDriver(rows=rows(3))

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("j")
        table = screen.app.screen.query_one("#tasks")
        driver.rows = (driver.rows[0], driver.rows[2])
        await screen.press("r")
        await screen.until(lambda: table.cursor_row.is_gone)
        assert "C-2" in screen.line(">")
        await screen.press("R")
        await screen.see("requeue: that task has just left this list")
        await screen.press("r")
        await screen.until(lambda: table.cursor_key == UUID(int=3))

    on_console(scenario, driver=driver, interval=30.0)


def test_a_row_that_left_the_list_stays_while_the_same_reading_is_drawn_again():
    driver, may_count = FakeDriver(rows=rows(3)), threading.Event()
    may_count.set()
    count = driver.count_tasks

    def count_late(where, *, cap):
        may_count.wait(PATIENCE)
        return count(where, cap=cap)

    driver.count_tasks = count_late

    async def scenario(screen):
        await open_tasks(screen)
        await screen.see("3 match")
        await screen.press("j")
        table = screen.app.screen.query_one("#tasks")
        driver.rows = (driver.rows[0], driver.rows[2])
        may_count.clear()
        await screen.press("r")
        await screen.until(lambda: table.cursor_row.is_gone)
        may_count.set()
        await screen.see("2 match")
        assert table.cursor_row.is_gone
        assert "C-2" in screen.line(">")

    on_console(scenario, driver=driver, interval=30.0)


def test_a_frozen_list_says_how_many_tasks_it_does_not_show():
    driver = FakeDriver(rows=rows(3))

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("f")
        driver.rows = (task_row(77), task_row(78), *driver.rows)
        await screen.see("FROZEN 00:00 +2")
        assert "C-77" not in screen.text

    on_console(scenario, driver=driver)


def test_pages_follow_the_cursors_of_the_driver():
    driver = FakeDriver(rows=rows(5), next=Cursor(2, ("a",)))

    async def scenario(screen):
        await open_tasks(screen)
        await screen.see("n next page")
        await screen.press("n")
        await screen.see("rows 201-205 of")
        assert driver.reads[-1][0] != "count"
        await screen.press("N")
        await screen.see("rows 1-5 of")

    on_console(scenario, driver=driver)


def test_a_capped_count_is_not_shown_as_exact():
    matched = Count(10_000, Precision.CAPPED)
    driver = FakeDriver(rows=rows(3), matched=matched, next=Cursor(2, ("a",)))

    async def scenario(screen):
        await open_tasks(screen)
        await screen.see("rows 1-3 of 10k+")

    on_console(scenario, driver=driver)


def test_an_empty_list_says_that_the_filter_is_why():
    async def scenario(screen):
        await screen.press("2")
        await screen.see("there are no tasks; esync add NAME KEY adds one")
        await screen.press("right_square_bracket")
        await screen.see("no task matches  state:ready")
        assert "Esc lists everything" in screen.text

    on_console(scenario, driver=FakeDriver())


def test_a_list_that_cannot_be_read_says_so_and_the_console_stays_live():
    driver = FakeDriver(page_error=DriverUnavailableError("statement timeout"))

    async def scenario(screen):
        await screen.press("2")
        await screen.see("this list could not be read: statement timeout")
        assert "LIVE" in screen.lines[0]

    on_console(scenario, driver=driver)


def test_a_list_says_what_it_had_no_time_to_look_at():
    driver = FakeDriver(rows=(task_row(1),), unread=("IN PROGRESS", "READY, RETRY"))

    async def scenario(screen):
        await screen.press("2")
        await screen.see("took too long to read: IN PROGRESS, READY, RETRY")
        assert "C-1" in screen.text
        driver.rows = ()
        await screen.press("r")
        await screen.see("nothing else was found; took too long to read: IN PROGRESS")

    on_console(scenario, driver=driver)


def test_marks_are_counted_and_taken_off():
    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("space", "space")
        await screen.see("2 marked")
        assert screen.line("C-1 ").startswith(" * C-1")
        await screen.press("a")
        await screen.see("4 marked")
        await screen.press("backslash")
        await screen.see("0 marked")
        await screen.press("A")
        await screen.see("all 4 matching meant")
        await screen.press("escape")
        await screen.see("0 marked")

    on_console(scenario, driver=FakeDriver(rows=rows(4)))


def test_another_filter_takes_the_marks_off():
    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("space")
        await screen.see("1 marked")
        await screen.press("right_square_bracket")
        await screen.see("0 marked")

    on_console(scenario, driver=FakeDriver(rows=rows(4)))


def test_marks_stay_from_page_to_page():
    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("space")
        await screen.press("n")
        await screen.see("rows 201-")
        assert "1 marked" in screen.text

    on_console(scenario, driver=FakeDriver(rows=rows(4), next=Cursor(2, ("a",))))


def test_the_large_screen_has_the_task_beside_the_list():
    row = task_row(1)
    detail = detail_of(row, raw_data='{"customer_id": 4711}')
    driver = FakeDriver(rows=(row, task_row(2)), details={row.task_id: detail})

    async def scenario(screen):
        await open_tasks(screen)
        await screen.see('"customer_id": 4711')
        await screen.press("vertical_line")
        await screen.miss('"customer_id": 4711')

    on_console(scenario, driver=driver, size=LARGE)


def test_a_pane_that_gets_room_shows_the_task_under_the_cursor():
    details = {row.task_id: detail_of(row, raw_data=f'{{"of": "{row.key}"}}') for row in rows(2)}
    driver = FakeDriver(rows=rows(2), details=details)

    async def scenario(screen):
        await open_tasks(screen)
        await screen.pilot.resize_terminal(*LARGE)
        await screen.see('"of": "C-1"')
        await screen.pilot.resize_terminal(*SMALL)
        await screen.press("j")
        await screen.until(lambda: "C-2" in screen.line(">"))
        await screen.pilot.resize_terminal(*LARGE)
        await screen.see('"of": "C-2"')

    on_console(scenario, driver=driver)


def test_detail_shows_message_attempts_data_and_history():
    row = task_row(1, message="HTTP 429\nTraceback:\n  File x.py")
    error = {
        "attempt": 4,
        "at": "12:39:50Z",
        "outcome": "RETRY",
        "seconds": 1.2,
        "worker": "web-3:1",
        "message": "too busy",
        "traceback": "line one\nline two",
    }
    detail = detail_of(
        row, errors=(error,), history=(row, task_row(9, state="DONE", message="fine"))
    )
    driver = FakeDriver(rows=(row,), details={row.task_id: detail})

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("enter")
        await screen.see("< customer.sync / C-1")
        assert "✗ FAILED  5 tries" in screen.text
        assert "   File x.py" in screen.text
        await screen.press("right_square_bracket")
        await screen.see("too busy")
        assert "line two" in screen.text
        await screen.press("right_square_bracket")
        await screen.see('"customer_id": 42')
        await screen.press("K")
        await screen.see("✓ DONE")
        assert "[History 2]" in screen.text
        await screen.press("escape")
        await screen.see("[2 Tasks]")

    on_console(scenario, driver=driver)


def test_detail_has_the_whole_message_of_every_attempt():
    row = task_row(1)
    error = {"attempt": 1, "outcome": "RETRY", "message": "x" * 4000 + " the reason"}
    driver = FakeDriver(rows=(row,), details={row.task_id: detail_of(row, errors=(error,))})

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("enter", "right_square_bracket")
        await screen.see("lines 1-")
        await screen.press("end")
        await screen.see("the reason")

    on_console(scenario, driver=driver)


def test_detail_says_that_its_data_is_cut():
    row = task_row(1)
    detail = detail_of(row, raw_data='{"long": "xxxx', data_length=1_000_014)
    driver = FakeDriver(rows=(row,), details={row.task_id: detail})

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("enter", "right_square_bracket", "right_square_bracket")
        await screen.see("cut: 1,000,000 more characters; esync show --id")
        await screen.see('{"long": "xxxx')

    on_console(scenario, driver=driver)


def test_detail_has_all_data_however_much_longer_a_field_a_line_is():
    row = task_row(1)
    raw_data = '{"n":[' + ",".join(["1"] * 31_000) + ',"end"]}'
    driver = FakeDriver(rows=(row,), details={row.task_id: detail_of(row, raw_data=raw_data)})

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("enter", "right_square_bracket", "right_square_bracket")
        await screen.see("lines 1-")
        await screen.press("end")
        await screen.see('"end"')

    on_console(scenario, driver=driver)


def test_a_request_of_the_history_can_be_opened():
    first, second = task_row(1), task_row(9, state="DONE", message="an older one")
    driver = FakeDriver(
        rows=(first, second), details={first.task_id: detail_of(first, history=(first, second))}
    )

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("enter")
        await screen.see("< customer.sync / C-1")
        await screen.press("K", "j", "enter")
        await screen.see("< customer.sync / C-9")
        await screen.press("escape")
        await screen.see("< customer.sync / C-1")

    on_console(scenario, driver=driver)


def test_a_task_that_is_gone_keeps_what_was_last_read():
    row = task_row(1, message="the last words")
    driver = FakeDriver(rows=(row,))

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("enter")
        await screen.see("the last words")
        driver.rows = ()
        await screen.see("gone: this task no longer exists")
        assert "the last words" in screen.text

    on_console(scenario, driver=driver)


def test_help_lists_the_keys_of_the_screen_with_their_commands():
    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("question_mark")
        await screen.see("= esync requeue KEY")
        await screen.press("escape")
        await screen.miss("= esync requeue KEY")

    on_console(scenario, driver=FakeDriver(rows=rows(1)))


def test_the_palette_finds_a_task_name_and_opens_its_tasks():
    driver = FakeDriver(rows=rows(2))

    async def scenario(screen):
        await screen.see("customer.sync")
        await screen.press("ctrl+p")
        await screen.type("tasks of customer")
        await screen.see("tasks of customer.sync")
        await screen.press("enter")
        await screen.see("/ name:customer.sync")

    on_console(scenario, driver=driver)


def test_the_palette_performs_an_action_of_the_screen():
    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("ctrl+p")
        await screen.type("mark page")
        await screen.see("mark page  (a)")
        await screen.press("enter")
        await screen.see("3 marked")

    on_console(scenario, driver=FakeDriver(rows=rows(3)))


def test_the_lines_that_are_seen_are_told_between_two_readings():
    row = task_row(1)
    driver = FakeDriver(rows=(row,))
    driver.details[row.task_id] = detail_of(row, message="\n".join(f"line {n}" for n in range(99)))

    async def scenario(screen):
        await screen.press("2")
        await screen.see("C-1")
        await screen.press("enter")
        await screen.see("of 99")
        reads = len(driver.reads)
        await screen.press("end")
        await screen.see("-99 of 99")
        assert len(driver.reads) == reads

    on_console(scenario, driver=driver, interval=3600.0)


def test_a_list_is_drawn_anew_only_when_it_has_changed(monkeypatch):
    drawn = []
    refresh = Table.refresh
    monkeypatch.setattr(
        Table, "refresh", lambda self, *args, **kw: drawn.append(0) or refresh(self, *args, **kw)
    )
    driver = FakeDriver(rows=rows(2))

    async def scenario(screen):
        async def wait_for_tick():
            before = screen.line("LIVE")
            await screen.until(lambda: screen.line("LIVE") != before, what="a second later")

        await open_tasks(screen)
        await wait_for_tick()
        count, reads = len(drawn), len(driver.reads)
        await wait_for_tick()
        await screen.press("r")
        await screen.until(lambda: len(driver.reads) >= reads + 2, what="the same list")
        await wait_for_tick()
        assert len(drawn) == count
        driver.rows = rows(3)
        await screen.press("r")
        await screen.see("C-3")

    on_console(scenario, driver=driver, interval=3600.0)
