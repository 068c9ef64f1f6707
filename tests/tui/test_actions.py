"""Actions: how much is asked, what is done, and what is said of it, on a queue in memory."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from fix_console import FakeDriver, on_console, task_row
from textual.widgets import Button

from esync.driver import RunnerInfo, WorkerInfo
from esync.errors import DriverUnavailableError
from esync.memory import MemoryDriver
from esync.snapshot import ActionVerb, Attribution, Count, Filter, Precision
from esync.task import Finish, TaskState, new_task
from esync_tui.messages import MatchesCounted, TaskActionWanted
from esync_tui.views import view_task

WORKER = UUID(int=1)


def queue(*, failed=0, ready=0, running=0, name="customer.sync"):
    """Return a queue in memory with tasks in these states; F-, R- and I- begin their keys."""
    driver = MemoryDriver()
    driver.register(
        WorkerInfo(worker_id=WORKER, host="web-3", pid=1, slots=9, lease=3000.0, version="1"),
        [RunnerInfo(name=name, slots=9)],
    )
    add_failed(driver, *(f"F-{number}" for number in range(failed)), name=name)
    for number in range(running):
        driver.add(new_task(name, f"I-{number}", created_by="test"))
    if running:
        driver.pop(name, worker_id=WORKER, count=running)
    for number in range(ready):
        driver.add(new_task(name, f"R-{number}", created_by="test"))
    return driver


def add_failed(driver, *keys, name="customer.sync"):
    """Add tasks and let them fail; nothing else may be due."""
    for key in keys:
        driver.add(new_task(name, key, created_by="test"))
    claims = driver.pop(name, worker_id=WORKER, count=max(1, len(keys))).claims
    finishes = [
        Finish(task_id=c.task_id, attempt=c.attempt, state=TaskState.FAILED, message="no")
        for c in claims
    ]
    driver.finish(finishes, worker_id=WORKER)


def states(driver):
    rows = driver.list_tasks(Filter(), limit=5000).rows
    return {row.key: row.state for row in rows}


async def open_tasks(screen):
    await screen.press("2")
    await screen.see("rows 1-")


def test_one_task_is_requeued_after_y():
    driver = queue(failed=1)

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("R")
        await screen.see("Requeue customer.sync / F-0, FAILED?")
        assert states(driver) == {"F-0": "FAILED"}
        await screen.press("y")
        await screen.see("requeued 1")
        assert states(driver) == {"F-0": "READY"}

    on_console(scenario, driver=driver)


@pytest.mark.parametrize("key", ["enter", "n", "escape", "q"])
def test_everything_but_y_means_no(key):
    driver = queue(failed=1)

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("R", key)
        await screen.see("requeue F-0: not done")
        assert states(driver) == {"F-0": "FAILED"}

    on_console(scenario, driver=driver)


def test_the_reason_is_kept_in_the_audit():
    driver = queue(failed=1)

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("R", "r")
        await screen.type("limit raised, OPS-441")
        await screen.press("enter")
        await screen.see("reason: limit raised, OPS-441")
        await screen.press("y")
        await screen.see("requeued 1")
        row = driver.list_audit()[0]
        assert (row.who, row.via, row.verb, row.reason) == (
            "ana", "console", "requeue", "limit raised, OPS-441",
        )  # fmt: skip

    on_console(scenario, driver=driver)


def test_keys_typed_before_the_question_could_be_read_are_dropped():
    driver = queue(failed=1)

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("R", "y")
        assert "[y/N]" in screen.text
        assert states(driver) == {"F-0": "FAILED"}
        screen.app._guarded_until = 0.0
        await screen.press("y")
        await screen.see("requeued 1")

    on_console(scenario, driver=driver, guard=60.0)


def test_a_state_that_does_not_allow_the_action_is_told_at_once():
    driver = queue(failed=1)

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("C")
        await screen.see("cannot cancel: F-0 is FAILED; it takes READY, RETRY, IN PROGRESS")

    on_console(scenario, driver=driver)


def test_marked_tasks_are_shown_with_counts_before_they_are_requeued():
    driver = queue(failed=3, ready=1)

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("a", "R")
        await screen.see("Requeue 3 tasks")
        assert "3  customer.sync  FAILED" in screen.text
        assert "1 more is marked, but not in a state for this" in screen.text
        assert "= esync requeue --id" in screen.text
        assert screen.app.focused.id == "no"
        await screen.press("enter")
        await screen.see("requeue 3: not done")
        assert states(driver)["F-1"] == "FAILED"
        await screen.press("R")
        await screen.see("Requeue 3 tasks")
        await screen.press("tab", "enter")
        await screen.see("requeued 3")
        assert set(states(driver).values()) == {"READY"}
        await screen.see("0 marked")

    on_console(scenario, driver=driver)


def test_the_buttons_that_have_the_focus_are_in_sight_on_a_small_screen():
    driver = queue(failed=3)

    async def scenario(screen):
        await screen.press("2")
        await screen.see("F-2")
        await screen.press("a", "R")
        await screen.see("Back")
        assert screen.app.focused.id == "no"
        await screen.press("tab")
        assert screen.app.focused.id == "yes"
        await screen.see("Requeue 3 ")
        await screen.press("escape")

    on_console(scenario, driver=driver, size=(40, 12))


def test_cancelling_a_running_handler_says_that_it_may_finish():
    driver = queue(running=1)

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("C")
        await screen.see("the handler is asked to stop; it may finish all the same")
        await screen.press("tab", "enter")
        await screen.see("asked 1 running handler to stop")
        assert states(driver) == {"I-0": "IN PROGRESS"}
        await screen.see("cancel asked")

    on_console(scenario, driver=driver)


def test_run_now_puts_a_later_task_first():
    driver = queue(ready=1)
    driver.add(new_task("customer.sync", "later", created_by="test", after=timedelta(hours=1)))

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("G")
        assert "later" in screen.line(">")
        await screen.press("E", "y")
        await screen.see("will run now: 1")
        assert driver.list_tasks(Filter(), limit=1).rows[0].key == "later"

    on_console(scenario, driver=driver)


def test_all_that_match_needs_the_number_to_be_typed():
    driver = queue(failed=12)

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("A", "R")
        await screen.see("Requeue 12 tasks: all that match")
        assert "type 12 to confirm" in screen.text
        button = screen.app.screen.query_one("#yes", Button)
        assert button.disabled
        await screen.fill("#number", "11")
        assert button.disabled
        await screen.fill("#number", "12")
        assert not button.disabled
        await screen.press("tab", "tab", "enter")
        await screen.see("requeued 12")
        assert set(states(driver).values()) == {"READY"}

    on_console(scenario, driver=driver)


def test_enter_in_the_field_of_the_number_does_not_confirm():
    driver = queue(failed=12)

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("A", "R")
        await screen.see("type 12 to confirm")
        await screen.fill("#number", "12")
        await screen.press("enter")
        assert "Requeue 12 tasks" in screen.text
        assert set(states(driver).values()) == {"FAILED"}

    on_console(scenario, driver=driver)


def test_more_than_a_thousand_marked_tasks_need_their_number():
    tasks = tuple(view_task(task_row(number)) for number in range(1, 1003))

    async def scenario(screen):
        screen.app.post_message(TaskActionWanted(ActionVerb.REQUEUE, tasks))
        await screen.see("type 1002 to confirm")

    on_console(scenario)


def test_matches_that_took_too_long_to_count_are_left_to_the_command_line():
    async def scenario(screen):
        counts = {TaskState.READY: Count(0, Precision.UNREAD)}
        screen.app.post_message(MatchesCounted(ActionVerb.CANCEL, Filter(), counts))
        await screen.see("cancel: counting them took too long; narrow the filter")

    on_console(scenario)


def test_too_many_matches_are_left_to_the_command_line():
    async def scenario(screen):
        counts = {TaskState.FAILED: Count(100_001, Precision.CAPPED)}
        screen.app.post_message(MatchesCounted(ActionVerb.REQUEUE, Filter(), counts))
        await screen.see("more than 100,000 tasks match; narrow the filter")

    on_console(scenario)


def test_all_that_match_are_those_that_did_when_the_dialog_was_opened():
    driver = queue(failed=10)
    before = set(states(driver))

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("A", "R")
        await screen.see("type 10 to confirm")
        (first,) = driver.list_tasks(Filter(), limit=1).rows
        add_failed(driver, "F-10", "F-11")
        driver.requeue([first.task_id], by=Attribution(who="bea", host="desk", via="cli"))
        await screen.fill("#number", "10")
        await screen.press("tab", "tab", "enter")
        await screen.see("requeued 9, skipped 1 (1 no longer matching)")
        now = states(driver)
        assert {now[key] for key in before} == {"READY"}
        assert (now["F-10"], now["F-11"]) == ("FAILED", "FAILED")

    on_console(scenario, driver=driver)


def test_newer_requests_are_skipped_in_bulk_and_said():
    driver = queue(failed=2)
    driver.add(new_task("customer.sync", "F-0", created_by="test"))

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("a", "R")
        await screen.see("1 of them will be skipped for that.")
        await screen.press("tab", "enter")
        await screen.see("requeued 1, skipped 1")

    on_console(scenario, driver=driver)


def test_a_runner_is_paused_with_a_reason_and_resumed():
    driver = queue(ready=2)

    async def scenario(screen):
        await screen.see("customer.sync")
        await screen.press("p")
        await screen.see("Pause customer.sync?")
        await screen.press("r")
        await screen.type("api down")
        await screen.press("enter", "y")
        await screen.see("paused customer.sync")
        await screen.see("PAUSED by ana@desk")
        assert driver.get_overview().names[0].pause.reason == "api down"
        await screen.press("p")
        await screen.see("Resume customer.sync?")
        await screen.press("y")
        await screen.see("resumed customer.sync")
        assert driver.get_overview().names[0].pause is None

    on_console(scenario, driver=driver)


def test_an_action_acts_on_the_task_that_was_under_the_cursor_when_its_key_was_pressed():
    driver = queue(failed=2)

    async def scenario(screen):
        await open_tasks(screen)
        key = screen.line(">").split()[1]
        await screen.press("R")
        await screen.see(f"/ {key}, FAILED?")
        other = "F-1" if key == "F-0" else "F-0"
        driver.let_pass(5)
        driver.add(new_task("customer.sync", "R-9", created_by="test"))
        screen.app.poller.refresh()
        await screen.until(lambda: screen.app.state.picture.page.rows[0].row.key == "R-9")
        await screen.press("y")
        await screen.see("requeued 1")
        assert (states(driver)[key], states(driver)[other]) == ("READY", "FAILED")

    on_console(scenario, driver=driver)


class Breaking(FakeDriver):
    """Loses the connection while an action is under way."""

    def requeue(self, _ids, **_changes):
        raise DriverUnavailableError("server closed the connection", is_ambiguous=True)


def test_a_connection_lost_in_an_action_is_told_as_unknown():
    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("R", "y")
        await screen.see("requeue C-1: unknown whether it was done, look (r)")

    on_console(scenario, driver=Breaking(rows=(task_row(1),)))


def test_an_answer_given_while_the_database_is_away_changes_nothing():
    driver = FakeDriver(rows=(task_row(1),))

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("R")
        driver.error = DriverUnavailableError("gone")
        await screen.until(lambda: screen.app.state.is_lost)
        await screen.press("y")
        await screen.see("nothing was changed: the database does not answer")

    on_console(scenario, driver=driver)


def test_actions_on_the_detail_screen_go_to_its_task():
    driver = queue(ready=1)

    async def scenario(screen):
        await open_tasks(screen)
        await screen.press("enter")
        await screen.see("< customer.sync / R-0")
        await screen.press("C")
        await screen.see("Cancel customer.sync / R-0, READY?")
        await screen.press("y")
        await screen.see("cancelled 1")
        await screen.see("– CANCELLED")  # noqa: RUF001 - the glyph of the state

    on_console(scenario, driver=driver)
