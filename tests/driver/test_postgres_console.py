"""What operators see of PostgreSQL, beyond what every driver promises."""

from __future__ import annotations

import psycopg
import pytest

from esync.errors import DriverError, DriverUnavailableError, SchemaError, TaskValueError
from esync.postgres import counting, listing, overview
from esync.postgres.driver import PostgresDriver
from esync.postgres.patience import Patience
from esync.problems import find_problems
from esync.snapshot import Attribution, Count, Cursor, Filter, Precision
from esync.task import TaskState
from esync.testing.harness import Worker, add, name_row, request, row_of

NAME = "SPEC"
BY = Attribution(who="ada", host="desk", via="cli", reason="because")


def pages(driver, where, *, limit):
    """Return all pages of a list."""
    found = []
    cursor = None
    while True:
        page = driver.list_tasks(where, limit=limit, after=cursor)
        found.append(page.rows)
        cursor = page.next
        if cursor is None:
            return found


def ids_of(found):
    return [row.task_id for page in found for row in page]


class TestRows:
    @pytest.mark.parametrize("moment", ["infinity", "-infinity", "0044-03-15 BC", "20000-01-01"])
    def test_times_that_python_cannot_hold_are_none(self, driver, insert, moment):
        times = dict.fromkeys(("created_at", "do_after", "last_attempted"), moment)
        for state in TaskState:
            (task_id,) = insert(state=state, task_key=state, **times)
            row = row_of(driver, task_id)
            assert (row.created_at, row.do_after, row.last_attempted) == (None, None, None)
        listed = pages(driver, Filter(), limit=2)
        assert sorted(row.key for page in listed for row in page) == sorted(TaskState)
        assert driver.count_tasks(Filter()) == Count(6)
        assert len(pages(driver, Filter(key="READY"), limit=1)[0]) == 1
        assert name_row(driver).ready.value + name_row(driver).scheduled.value == 1

    def test_unknown_creators_and_creations_are_shown(self, driver, insert):
        (task_id,) = insert(created_at=None, created_by=None)
        row = row_of(driver, task_id)
        assert (row.created_at, row.created_by) == (None, "")

    def test_states_that_are_none_of_the_six_are_shown(self, driver, insert, conn):
        conn.execute("ALTER TABLE message_queue DROP CONSTRAINT message_queue_state_check")
        odd = insert(3, state="weird") + insert(state="ready ", task_key="other", task_name="ODD")
        insert()
        assert sorted(ids_of(pages(driver, Filter(), limit=2))[1:]) == sorted(odd)
        assert driver.count_tasks(Filter(names=("ODD",))) == Count(1)
        assert driver.find_tasks("other")[0].state == "ready "
        assert len(driver.get_task(odd[0]).history) == 4
        assert len(driver.list_tasks(Filter(key="other"), limit=9).rows) == 1
        assert driver.list_tasks(Filter(states=tuple(TaskState)), limit=9).rows[0].state == "READY"
        assert [skip.reason for skip in driver.requeue(odd[:1], by=BY).skipped] == ["is weird"]

    def test_the_empty_name_is_shown_only_when_it_has_tasks(self, driver, insert):
        insert(task_name="A")
        assert [row.name for row in driver.get_overview().names] == ["A"]
        (task_id,) = insert(task_name="")
        assert [row.name for row in driver.get_overview().names] == ["", "A"]
        assert [row.task_id for row in driver.list_tasks(Filter(names=("",)), limit=9).rows] == [
            task_id
        ]

    def test_a_worker_that_is_gone_is_shown_by_its_id(self, driver):
        worker = Worker(driver)
        task_id = add(driver)
        worker.finish(worker.claim())
        driver.leave(worker.id)
        assert row_of(driver, task_id).worker == str(worker.id)[:8]

    def test_a_task_that_was_never_attempted_has_no_last_attempt(self, driver):
        task_id = add(driver)
        assert row_of(driver, task_id).last_attempted is None

    @pytest.mark.parametrize("errors", ['[1, "two"]', '[{"n": ' + "9" * 5000 + "}]"])
    def test_errors_that_are_no_objects_hide_nothing(self, driver, insert, errors):
        (task_id,) = insert(errors=errors, data='{"n": ' + "9" * 5000 + "}")
        detail = driver.get_task(task_id)
        assert all("message" in error for error in detail.errors)
        assert "9999" in detail.raw_data

    def test_errors_come_oldest_first(self, driver, insert):
        (task_id,) = insert(errors='[{"message": "one"}, {"message": "two"}]')
        assert [error["message"] for error in driver.get_task(task_id).errors] == ["one", "two"]

    def test_a_history_includes_the_task_itself_however_old(self, driver):
        batch = [request() for _ in range(60)]
        driver.add_many(batch)
        history = [row.task_id for row in driver.get_task(batch[0].task_id).history]
        assert history == [*(task.task_id for task in batch[:10:-1]), batch[0].task_id]

    def test_a_request_done_before_the_take_over_is_newer_by_its_creation(
        self, driver, conn, make_legacy
    ):
        older = add(driver)
        newer = add(driver)
        make_legacy(newer)
        assert row_of(driver, older).has_newer
        conn.execute("UPDATE message_queue SET created_at = NULL")
        assert not row_of(driver, older).has_newer


class TestLists:
    def test_running_tasks_come_newest_start_first(self, driver):
        worker = Worker(driver)
        ids = []
        for key in ("a", "b", "c"):
            ids.append(add(driver, key))
            worker.claim()
        assert ids_of(pages(driver, Filter(), limit=2)) == ids[::-1]

    def test_superseded_requests_are_listed_as_cancelled(self, driver):
        older, newer = add(driver), add(driver)
        Worker(driver).pop()
        cancelled = driver.list_tasks(Filter(states=(TaskState.CANCELLED,)), limit=9).rows
        assert [row.task_id for row in cancelled] == [older]
        assert (cancelled[0].superseded_by, cancelled[0].has_newer) == (newer, True)
        assert driver.count_tasks(Filter(states=(TaskState.CANCELLED,))) == Count(1)

    def test_pages_of_equal_times_hold_every_task_once(self, driver, insert):
        ids = insert(25, state="FAILED", last_attempted="2026-01-01")
        ids += insert(25, state="DONE", last_attempted="2026-01-01", task_name="OTHER")
        ids += insert(25, do_after="2026-01-01") + insert(25, state="RETRY", task_name="OTHER")
        found = ids_of(pages(driver, Filter(), limit=7))
        assert len(found) == 100
        assert set(found) == set(ids)

    @pytest.mark.parametrize(
        "states",
        [
            (),
            *((state,) for state in TaskState),
            (TaskState.DONE, TaskState.FAILED),
            (TaskState.FAILED, TaskState.CANCELLED),
            (TaskState.READY, TaskState.CANCELLED),
            (TaskState.RETRY, TaskState.DONE),
        ],
    )
    def test_every_choice_of_states_is_listed_and_counted(self, driver, insert, states):
        ids = {}
        for state in TaskState:
            name = "OTHER" if state in ("DONE", "READY") else NAME
            ids[state] = insert(1 if state == "IN PROGRESS" else 3, state=state, task_name=name)
        ids[TaskState.CANCELLED] += insert(state="CANCELLED", superseded_by=ids["DONE"][0])
        wanted = {task_id for state in states or TaskState for task_id in ids[state]}
        where = Filter(states=states)
        found = ids_of(pages(driver, where, limit=2))
        assert (set(found), len(found)) == (wanted, len(wanted))
        assert driver.count_tasks(where) == Count(len(wanted))
        assert set(ids_of(pages(driver, Filter(states=states, key="k"), limit=2))) == wanted

    def test_what_no_index_serves_is_found_however_deep(self, driver, insert, monkeypatch):
        monkeypatch.setattr(listing, "_PATIENCE_SECONDS", -1.0)
        for name in ("A", "B"):
            insert(3000, state="DONE", task_name=name, last_attempt_message="fine")
            insert(3000, task_name=name)
        rare = insert(5, state="DONE", last_attempt_message="HTTP 429", last_attempted="2025-01-01")
        rare += insert(2, last_attempt_message="http 429 again", priority=9)
        found = pages(driver, Filter(error="http 429"), limit=3)
        assert sorted(ids_of(found)) == sorted(rare)
        # Every page looked at one stretch only, and some of them found nothing.
        assert len(found) > 20
        assert () in found

    def test_a_page_is_filled_when_there_is_time(self, driver, insert):
        insert(3000, state="DONE", last_attempt_message="fine")
        rare = insert(4, state="DONE", last_attempt_message="odd", last_attempted="2025-01-01")
        page = driver.list_tasks(Filter(error="ODD"), limit=10)
        assert {row.task_id for row in page.rows} == set(rare)
        assert page.next is None

    def test_a_cursor_survives_a_task_that_moved(self, driver, insert, conn):
        ids = insert(4, task_key="k")
        first = driver.list_tasks(Filter(), limit=2)
        conn.execute(
            "UPDATE message_queue SET state = 'DONE' WHERE message_queue_id = ANY(%s)", [ids[:2]]
        )
        second = driver.list_tasks(Filter(), limit=2, after=first.next)
        assert [row.task_id for row in second.rows] == ids[2:]
        assert isinstance(first.next, Cursor)

    def test_a_name_given_twice_is_listed_once(self, driver, insert):
        insert(3)
        where = Filter(names=(NAME, NAME))
        assert len(driver.list_tasks(where, limit=9).rows) == 3
        assert driver.count_tasks(where) == Count(3)

    def test_any_number_of_seconds_may_be_asked_for(self, driver, insert):
        insert(3)
        assert driver.count_tasks(Filter(since=1e300)) == Count(3)
        assert len(driver.list_tasks(Filter(since=1e300), limit=9).rows) == 3

    def test_a_count_by_message_says_when_it_stopped_looking(self, driver, insert):
        insert(50_001, state="DONE")
        count = driver.count_tasks(Filter(error="no such text"))
        assert count == Count(0, Precision.CAPPED)

    def test_a_count_of_a_key_says_when_it_stopped_looking(self, driver, insert):
        insert(listing.KEY_LIMIT + 1, state="DONE")
        assert driver.count_tasks(Filter(key="k")).precision is Precision.CAPPED
        assert driver.count_tasks(Filter(key="k"), cap=10) == Count(10, Precision.CAPPED)

    def test_text_that_cannot_be_stored_is_refused(self, driver):
        for text in ("nul \x00", "surrogate \ud800"):
            with pytest.raises(DriverError):
                driver.list_tasks(Filter(error=text), limit=9)
        assert driver.list_tasks(Filter(), limit=9).rows == ()


class TestOverview:
    def test_counts_that_take_too_long_give_way_to_capped_ones(self, driver, insert, monkeypatch):
        monkeypatch.setattr(counting, "EXACT_SECONDS", -1.0)
        monkeypatch.setattr(counting, "_CAP", 5)
        insert(7)
        insert(6, do_after="2100-01-01")
        insert(3, state="RETRY")
        insert(5, state="FAILED", task_name="OTHER")
        assert name_row(driver).ready == Count(7)
        row = name_row(driver)
        # Of what is due the first six are looked at, of either state.
        assert row.ready.precision is row.retry.precision is Precision.CAPPED
        assert row.scheduled == Count(5, Precision.CAPPED)
        assert row.failed == Count(0)
        assert name_row(driver, "OTHER").failed == Count(5)

    def test_exact_counts_are_tried_again_after_a_minute(self, driver, insert, monkeypatch):
        insert(200)
        now = 0.0
        driver._patience = Patience(clock=lambda: now)
        monkeypatch.setattr(counting, "_CAP", 150)
        with monkeypatch.context() as slow:
            slow.setattr(counting, "EXACT_SECONDS", -1.0)
            assert name_row(driver).ready == Count(200)
        assert name_row(driver).ready == Count(150, Precision.CAPPED)
        now = 60.0
        assert name_row(driver).ready == Count(200)

    def test_an_exact_count_that_is_stopped_costs_no_picture(self, driver, insert, monkeypatch):
        monkeypatch.setattr(counting, "_EXACT_LIMIT_SECONDS", 0.001)
        monkeypatch.setattr(counting, "EXACT_SECONDS", 0.0)
        insert(60_000)
        row = name_row(driver)
        assert row.ready == Count(10_000, Precision.CAPPED)
        assert row.oldest_seconds is not None

    def test_cap_is_shared_by_many_names(self, driver, conn, monkeypatch):
        monkeypatch.setattr(counting, "EXACT_SECONDS", -1.0)
        monkeypatch.setattr(counting, "_CAP_ALL", 1000)
        conn.execute(
            "INSERT INTO message_queue (task_name, task_key)"
            " SELECT 'N' || n, 'k' FROM generate_series(1, 20) AS n, generate_series(1, 150)"
        )
        driver.get_overview()
        picture = driver.get_overview()
        assert {row.ready for row in picture.names} == {Count(100, Precision.CAPPED)}

    def test_more_names_than_are_shown_are_told(self, driver, conn):
        conn.execute(
            "INSERT INTO message_queue (task_name, task_key, state)"
            " SELECT 'n' || lpad(i::text, 4, '0'), 'k' || i, 'READY'"
            " FROM generate_series(1, 2001) AS i"
        )
        assert driver.count_tasks(Filter()).precision is Precision.CAPPED
        assert driver.list_tasks(Filter(key="k2001"), limit=5).unread == (
            "names after the first 2,000",
        )
        with pytest.raises(TaskValueError, match=r"2,000 or more task names; say which \(--name\)"):
            driver.find_tasks("k2001")
        (row,) = driver.find_tasks("k2001", name="n2001")
        assert row.key == "k2001"
        picture = driver.get_overview()
        assert picture.has_more_names
        assert [problem.text for problem in find_problems(picture)][-1] == (
            f"only {len(picture.names):,} task names are shown, and there may be more"
        )

    def test_names_are_found_in_every_index(self, driver, insert, conn):
        conn.execute("ALTER TABLE message_queue DROP CONSTRAINT message_queue_state_check")
        for state in (*TaskState, "odd"):
            insert(state=state, task_name=f"only {state}")
        insert(state="CANCELLED", task_name="superseded", superseded_by=insert()[0])
        driver.pause(["paused"], by=BY)
        names = {row.name for row in driver.get_overview().names}
        assert names == {
            *(f"only {state}" for state in (*TaskState, "odd")),
            "superseded",
            "paused",
            NAME,
        }

    def test_a_superseded_request_is_no_last_message(self, driver):
        for _ in range(2):
            add(driver)
        Worker(driver).pop()
        assert name_row(driver).last is None

    def test_an_operators_limit_goes_before_the_registered_one(self, driver, conn):
        Worker(driver)
        conn.execute("UPDATE message_queue_runner SET registered_limit = 8")
        assert name_row(driver).limit == 8
        conn.execute("UPDATE message_queue_runner SET operator_limit = 2")
        assert name_row(driver).limit == 2

    def test_a_transaction_that_keeps_dead_rows_is_told(self, driver, database, monkeypatch):
        monkeypatch.setattr(overview, "OLD_TRANSACTION_SECONDS", 0.0)
        assert driver.get_overview().oldest_transaction_seconds is None
        with psycopg.connect(database) as other:
            other.execute("SELECT pg_current_xact_id()")
            assert driver.get_overview().oldest_transaction_seconds > 0
        monkeypatch.undo()
        assert driver.get_overview().oldest_transaction_seconds is None

    def test_a_picture_says_what_it_cost(self, driver):
        assert 0 < driver.get_overview().took_seconds < 10


class TestReading:
    def test_a_missing_schema_is_told_with_its_cure(self, empty_database):
        driver = PostgresDriver(empty_database)
        try:
            with pytest.raises(SchemaError, match="run `esync migrate`"):
                driver.check_schema()
            with pytest.raises(SchemaError, match="run `esync migrate`"):
                driver.get_overview()
        finally:
            driver.close()

    def test_reading_can_write_nothing(self, driver):
        params = {"name": NAME, "by": "", "reason": "", "resume_after": None}
        with pytest.raises(DriverUnavailableError, match="25006"), driver._reading() as read:
            read.send("pause", **params)
        assert driver.get_overview().names == ()

    def test_reading_waits_for_no_lock_of_a_row(self, driver, insert, conn):
        insert(3)
        with conn.transaction():
            conn.execute("SELECT FROM message_queue FOR UPDATE")
            assert len(driver.list_tasks(Filter(), limit=9).rows) == 3
            assert name_row(driver).ready == Count(3)

    def test_one_reading_is_one_moment(self, driver, insert):
        with driver._reading() as read:
            before = read.rows("names", limit=10)
            insert()
            assert read.rows("names", limit=10) == before
        assert driver.count_tasks(Filter()) == Count(1)
