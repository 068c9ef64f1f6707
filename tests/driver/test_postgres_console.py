"""The operators' side of PostgresDriver, beyond what every driver promises."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import psycopg
import pytest
from fix_wait import wait_until

from esync.errors import DriverError, DriverUnavailableError, SchemaError
from esync.postgres import actions, listing, overview
from esync.postgres.driver import PostgresDriver
from esync.snapshot import Attribution, Count, Cursor, Filter, Precision
from esync.task import TaskState
from esync.testing.harness import Worker, add, name_row, request, row_of, state_of

NAME = "SPEC"
BY = Attribution(who="ada", host="desk", via="cli", reason="because")


@pytest.fixture
def conn(database):
    with psycopg.connect(database, autocommit=True) as conn:
        yield conn


@pytest.fixture
def insert(conn):
    """Insert rows as a legacy table may hold them; return their ids."""

    def insert(count=1, **columns):
        columns = {"task_name": NAME, "task_key": "k", "state": "READY", **columns}
        names = ", ".join(columns)
        values = ", ".join(["%s"] * len(columns))
        rows = conn.execute(
            f"INSERT INTO message_queue ({names}) SELECT {values} FROM generate_series(1, %s)"
            " RETURNING message_queue_id",
            [*columns.values(), count],
        ).fetchall()
        return [row[0] for row in rows]

    return insert


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

    @pytest.mark.parametrize(
        "errors", ['"text"', '{"a": 1}', '[1, "two"]', '[{"n": ' + "9" * 5000 + "}]"]
    )
    def test_errors_that_are_no_list_of_objects_hide_nothing(self, driver, insert, errors):
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

    def test_a_request_done_before_the_take_over_is_newer_by_its_creation(self, driver, conn):
        older = add(driver)
        newer = add(driver)
        _make_legacy(conn, newer, state="DONE")
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
        monkeypatch.setattr(overview, "EXACT_SECONDS", -1.0)
        monkeypatch.setattr(overview, "_CAP", 5)
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

    def test_exact_counts_are_tried_again_later_each_time(self, driver, insert, monkeypatch):
        insert()
        monkeypatch.setattr(overview, "EXACT_SECONDS", -1.0)
        waits = []
        for _ in range(8):
            waits.append(driver._counting.capped_seconds)
            driver.get_overview()
            driver._counting.capped_until = 0.0
        assert waits == [60, 120, 240, 480, 960, 960, 960, 960]
        monkeypatch.undo()
        assert name_row(driver).ready == Count(1)
        assert driver._counting.capped_seconds == 60

    def test_an_exact_count_that_is_stopped_costs_no_picture(self, driver, insert, monkeypatch):
        monkeypatch.setattr(overview, "_EXACT_LIMIT_SECONDS", 0.001)
        monkeypatch.setattr(overview, "EXACT_SECONDS", 0.0)
        insert(60_000)
        row = name_row(driver)
        assert row.ready == Count(10_000, Precision.CAPPED)
        assert row.oldest_seconds is not None

    def test_cap_is_shared_by_many_names(self, driver, conn, monkeypatch):
        monkeypatch.setattr(overview, "EXACT_SECONDS", -1.0)
        monkeypatch.setattr(overview, "_CAP_ALL", 1000)
        conn.execute(
            "INSERT INTO message_queue (task_name, task_key)"
            " SELECT 'N' || n, 'k' FROM generate_series(1, 20) AS n, generate_series(1, 150)"
        )
        driver.get_overview()
        picture = driver.get_overview()
        assert {row.ready for row in picture.names} == {Count(100, Precision.CAPPED)}

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


class TestActions:
    def test_requeue_says_what_the_task_was(self, driver, insert):
        failed, done = insert(state="FAILED", last_attempt_message="HTTP 429") + insert(
            state="DONE", last_attempt_message=""
        )
        driver.requeue([failed, done], by=BY)
        assert row_of(driver, failed).message == (
            "Requeued by ada@desk: because; it was FAILED: HTTP 429"
        )
        assert row_of(driver, done).message == "Requeued by ada@desk: because; it was DONE"

    def test_requeued_tasks_run_in_the_order_they_were_named_in(self, driver):
        worker = Worker(driver)
        ids = []
        for i in range(20):
            ids.append(add(driver, f"k{i}"))
            worker.fail(worker.claim())
        order = ids[::2] + ids[1::2]
        driver.requeue(order, by=BY)
        assert [claim.task_id for claim in worker.take(count=20)] == order

    def test_skips_tell_why(self, driver, insert):
        worker = Worker(driver)
        old = {}
        for state in (TaskState.DONE, TaskState.RETRY, TaskState.READY):
            old[state] = add(driver, state)
            worker.fail(worker.claim())
            add(driver, state)
            if state != "READY":
                worker.finish(worker.claim(), state, delay=3600)
        (ready,) = insert(task_key="single")
        result = driver.requeue([*old.values(), ready], by=BY, skip_newer=True)
        assert [skip.reason for skip in result.skipped] == [
            "a newer request is DONE",
            "a newer request is RETRY",
            "a newer request is READY",
            "is READY",
        ]
        assert [skip.key for skip in result.skipped][-1] == "single"

    def test_a_request_done_before_the_take_over_counts_as_newer(self, driver, conn):
        worker = Worker(driver)
        older = add(driver)
        worker.fail(worker.claim())
        newer = add(driver)
        worker.finish(worker.claim())
        _make_legacy(conn, newer)
        assert driver.requeue([older], by=BY, skip_newer=True).changed == ()
        assert driver.requeue([newer], by=BY, skip_newer=True).changed == (newer,)

    def test_cancel_puts_a_task_at_the_end_of_its_life(self, driver):
        task_id = add(driver)
        before = driver.get_overview().at
        driver.cancel([task_id], by=BY)
        row = row_of(driver, task_id)
        assert row.message == "Cancelled by ada@desk: because"
        assert row.last_attempted >= before

    def test_asking_to_cancel_leaves_the_attempt_as_it_is(self, driver):
        worker = Worker(driver)
        task_id = add(driver)
        worker.claim()
        before = row_of(driver, task_id)
        driver.cancel([task_id], by=BY)
        after = row_of(driver, task_id)
        assert after.cancel_requested == "ada@desk: because"
        assert (after.last_attempted, after.worker) == (before.last_attempted, before.worker)

    def test_tasks_that_are_run_now_keep_their_order(self, driver):
        driver.add_many(request(f"k{i}", priority=i % 3) for i in range(6))
        later = [add(driver, f"later{i}", after=3600.0, priority=9) for i in range(3)]
        driver.run_now(later[::-1], by=BY)
        claims = Worker(driver).take(count=9)
        assert [claim.task_id for claim in claims[:3]] == later[::-1]

    def test_run_now_twice_puts_the_last_one_first(self, driver):
        ids = [add(driver, f"k{i}", after=3600.0) for i in range(3)]
        for task_id in ids:
            driver.run_now([task_id], by=BY)
        assert [claim.task_id for claim in Worker(driver).take()] == ids[::-1]

    def test_run_now_keeps_due_times_that_people_can_read(self, driver, insert):
        insert(do_after="-infinity", task_key="ever")
        insert(do_after="0001-01-01", task_key="long ago")
        insert(task_key="due")
        (later,) = insert(do_after="infinity", task_key="later")
        driver.run_now([later], by=BY)
        row = row_of(driver, later)
        assert driver.get_overview().at - row.do_after < timedelta(minutes=10)
        keys = [claim.key for claim in Worker(driver).take()]
        assert keys == ["ever", "long ago", "later", "due"]

    def test_an_action_on_several_names_is_audited_name_by_name(self, driver):
        ids = [add(driver, f"k{i}", name=f"N{i % 2}") for i in range(6)]
        result = driver.cancel(ids, by=BY)
        assert set(result.changed) == set(ids)
        rows = {row.name: row for row in driver.list_audit()}
        assert {(row.matched, row.changed) for row in rows.values()} == {(3, 3)}
        assert set(rows["N0"].target["ids"]) == {str(task_id) for task_id in ids[::2]}
        assert rows["N1"].target["keys"] == ["k1", "k3", "k5"]

    def test_no_transaction_changes_more_than_500_tasks(self, driver, insert):
        ids = insert(1200)
        assert len(driver.cancel(ids, by=BY).changed) == 1200
        assert [row.changed for row in driver.list_audit()] == [200, 500, 500]

    def test_what_is_not_there_is_not_audited(self, driver, insert, conn):
        (task_id,) = insert()
        conn.execute("DELETE FROM message_queue")
        (skip,) = driver.cancel([task_id], by=BY).skipped
        assert (skip.task_id, skip.reason) == (task_id, "no such task")
        assert driver.resume(["nobody"], by=BY).skipped[0].reason == "is not paused"
        assert driver.list_audit() == ()

    @pytest.mark.parametrize("verb", ["requeue", "cancel", "run_now"])
    def test_nothing_is_changed_that_cannot_be_audited(self, driver, insert, conn, verb):
        (task_id,) = insert(state="FAILED" if verb == "requeue" else "READY")
        before = row_of(driver, task_id)
        conn.execute("ALTER TABLE message_queue_audit RENAME TO elsewhere")
        with pytest.raises(SchemaError):
            getattr(driver, verb)([task_id], by=BY)
        assert row_of(driver, task_id) == before

    def test_pausing_is_all_or_nothing(self, driver):
        with pytest.raises(DriverError):
            driver.pause(["A", "nul\x00"], by=BY)
        assert driver.get_overview().names == ()

    def test_pausing_again_is_audited_each_time(self, driver):
        driver.pause([NAME], by=BY, resume_after=60)
        driver.pause([NAME, NAME], by=BY)
        assert [row.target for row in driver.list_audit()] == [{}, {"resume_after": 60}]

    def test_a_pause_that_is_over_cannot_be_resumed(self, driver, conn):
        driver.pause([NAME], by=BY, resume_after=60)
        conn.execute("UPDATE message_queue_runner SET resume_at = now()")
        assert driver.resume([NAME], by=BY).names == ()
        (entry, _) = driver.list_audit()
        assert (entry.verb, entry.matched, entry.changed, entry.skipped) == ("resume", 1, 0, 1)

    def test_a_runner_that_is_held_is_told(self, driver, insert, conn):
        ids = insert()
        driver._lane("act")._settings["lock_timeout"] = "100ms"
        with conn.transaction():
            conn.execute("SELECT pg_advisory_xact_lock(%s)", [driver.names.lock("runner", NAME)])
            with pytest.raises(DriverUnavailableError, match="runner 'SPEC': held by another"):
                driver.cancel(ids, by=BY)
        assert len(driver.cancel(ids, by=BY).changed) == 1

    def test_what_was_done_before_a_failure_is_told(self, driver, conn):
        one, two = add(driver, name="A"), add(driver, name="B")
        driver._lane("act")._settings["lock_timeout"] = "100ms"
        with conn.transaction():
            conn.execute("SELECT pg_advisory_xact_lock(%s)", [driver.names.lock("runner", "B")])
            result = driver.cancel([one, two], by=BY)
        assert result.changed == (one,)
        ((task_id, _, reason),) = result.skipped
        assert task_id == two
        assert reason.startswith("not tried: runner 'B': held by another session")
        assert state_of(driver, two) == "READY"

    def test_an_action_waits_for_a_write_under_way_and_tells_its_state(
        self, driver, conn, database
    ):
        worker = Worker(driver)
        task_id = add(driver)
        worker.claim()
        results = []
        with psycopg.connect(database, autocommit=True) as other, conn.transaction():
            conn.execute("UPDATE message_queue SET state = 'DONE'")
            acting = threading.Thread(
                target=lambda: results.append(driver.cancel([task_id], by=BY))
            )
            acting.start()
            wait_until(lambda: _waiting(other))
        acting.join(10)
        assert [skip.reason for skip in results[0].skipped] == ["is DONE"]
        assert state_of(driver, task_id) == "DONE"

    def test_each_change_is_claimed_by_one_of_many_operators(self, database, driver, insert):
        ids = insert(200, task_key="k") + insert(200, task_name="OTHER")
        drivers = [PostgresDriver(database) for _ in range(4)]
        changed, errors = [], []

        def act(driver, ids):
            try:
                for verb in (driver.cancel, driver.requeue, driver.cancel):
                    changed.extend((verb.__name__, i) for i in verb(ids, by=BY).changed)
            except Exception as exc:  # noqa: BLE001 - shown by the test
                errors.append(exc)

        threads = [
            threading.Thread(target=act, args=(one, ids[i * 7 :] + ids[: i * 7]))
            for i, one in enumerate(drivers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for one in drivers:
            one.close()
        assert errors == []
        # A task goes from READY to CANCELLED and back: cancels and requeues alternate.
        counts = Counter(changed)
        for task_id in ids:
            ends_cancelled = state_of(driver, task_id) == "CANCELLED"
            cancels, requeues = counts["cancel", task_id], counts["requeue", task_id]
            assert cancels - requeues == ends_cancelled
        assert sum(row.changed for row in driver.list_audit(limit=10_000)) == len(changed)

    def test_actions_and_a_busy_worker_do_not_disturb_each_other(self, driver, insert):
        insert(300, task_key="x")
        ids = [i for n in range(30) for i in insert(10, task_key=f"k{n}")]
        worker = Worker(driver)
        stop, errors, finished = threading.Event(), [], []

        def work():
            try:
                while not stop.is_set():
                    finished.extend(worker.finish(claim) for claim in worker.take(count=20))
            except Exception as exc:  # noqa: BLE001 - shown by the test
                errors.append(exc)

        working = threading.Thread(target=work)
        working.start()
        for verb in (driver.run_now, driver.cancel, driver.requeue) * 6:
            result = verb(ids, by=BY)
            assert len(result.changed) + len(result.asked) + len(result.skipped) == len(ids)
        stop.set()
        working.join(30)
        assert errors == []
        assert all(finished)

    def test_runners_are_told_what_concerns_them(self, driver):
        worker = Worker(driver)
        waiting, running = add(driver, "a", after=3600.0), add(driver, "b")
        worker.claim()
        listener = driver.listen()
        try:
            driver.run_now([waiting], by=BY)
            assert wait_until(lambda: listener.wait(0.1)) == [NAME]
            driver.requeue([waiting], by=BY)
            driver.cancel([waiting, running], by=BY)
            assert wait_until(lambda: listener.wait(0.1)) == ["*"]
        finally:
            listener.close()

    def test_batches_go_name_by_name(self):
        names = {"B": list(range(700)), "A": [1]}
        batches = list(actions._batches(names))
        assert [(name, len(ids)) for name, ids in batches] == [("A", 1), ("B", 500), ("B", 200)]
        assert all(one <= two for (one, _), (two, _) in pairwise(batches))


def _make_legacy(conn, task_id, *, state="DONE"):
    """Give a row the place of those that were over when the table was taken over."""
    conn.execute("ALTER TABLE message_queue ALTER COLUMN seq DROP IDENTITY IF EXISTS")
    conn.execute(
        "UPDATE message_queue SET seq = 0, state = %s WHERE message_queue_id = %s",
        [state, task_id],
    )


def _waiting(conn):
    return conn.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name LIKE 'esync:act%' AND wait_event_type = 'Lock'"
        " AND datname = current_database()"
    ).fetchone()[0]
