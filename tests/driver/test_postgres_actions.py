"""What operators do on PostgreSQL, beyond what every driver promises."""

from __future__ import annotations

import os
import threading
from collections import Counter
from contextlib import closing
from datetime import timedelta
from itertools import pairwise

import psycopg
import pytest
from fix_wait import wait_until
from psycopg import sql
from psycopg.conninfo import make_conninfo

from esync.errors import DriverError, DriverUnavailableError, SchemaError
from esync.postgres import actions
from esync.postgres.driver import PostgresDriver
from esync.snapshot import Attribution
from esync.task import TaskState
from esync.testing.harness import Worker, add, request, row_of, state_of

NAME = "SPEC"
BY = Attribution(who="ada", host="desk", via="cli", reason="because")


def test_requeue_says_what_the_task_was(driver, insert):
    failed, done = insert(state="FAILED", last_attempt_message="HTTP 429") + insert(
        state="DONE", last_attempt_message=""
    )
    driver.requeue([failed, done], by=BY)
    assert row_of(driver, failed).message == (
        "Requeued by ada@desk: because; it was FAILED: HTTP 429"
    )
    assert row_of(driver, done).message == "Requeued by ada@desk: because; it was DONE"


def test_requeued_tasks_run_in_the_order_they_were_named_in(driver):
    worker = Worker(driver)
    ids = []
    for i in range(20):
        ids.append(add(driver, f"k{i}"))
        worker.fail(worker.claim())
    order = ids[::2] + ids[1::2]
    driver.requeue(order, by=BY)
    assert [claim.task_id for claim in worker.take(count=20)] == order


def test_skips_tell_why(driver, insert):
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


def test_a_request_done_before_the_take_over_counts_as_newer(driver, make_legacy):
    worker = Worker(driver)
    older = add(driver)
    worker.fail(worker.claim())
    newer = add(driver)
    worker.finish(worker.claim())
    make_legacy(newer)
    assert driver.requeue([older], by=BY, skip_newer=True).changed == ()
    assert driver.requeue([newer], by=BY, skip_newer=True).changed == (newer,)


def test_cancel_puts_a_task_at_the_end_of_its_life(driver):
    task_id = add(driver)
    before = driver.get_overview().at
    driver.cancel([task_id], by=BY)
    row = row_of(driver, task_id)
    assert row.message == "Cancelled by ada@desk: because"
    assert row.last_attempted >= before


def test_asking_to_cancel_leaves_the_attempt_as_it_is(driver):
    worker = Worker(driver)
    task_id = add(driver)
    worker.claim()
    before = row_of(driver, task_id)
    driver.cancel([task_id], by=BY)
    after = row_of(driver, task_id)
    assert after.cancel_requested == "ada@desk: because"
    assert (after.last_attempted, after.worker) == (before.last_attempted, before.worker)


def test_tasks_that_are_run_now_keep_their_order(driver):
    driver.add_many(request(f"k{i}", priority=i % 3) for i in range(6))
    later = [add(driver, f"later{i}", after=3600.0, priority=9) for i in range(3)]
    driver.run_now(later[::-1], by=BY)
    claims = Worker(driver).take(count=9)
    assert [claim.task_id for claim in claims[:3]] == later[::-1]


def test_run_now_twice_puts_the_last_one_first(driver):
    ids = [add(driver, f"k{i}", after=3600.0) for i in range(3)]
    for task_id in ids:
        driver.run_now([task_id], by=BY)
    assert [claim.task_id for claim in Worker(driver).take()] == ids[::-1]


def test_run_now_keeps_due_times_that_people_can_read(driver, insert):
    insert(do_after="-infinity", task_key="ever")
    insert(do_after="0001-01-01", task_key="long ago")
    insert(task_key="due")
    (later,) = insert(do_after="infinity", task_key="later")
    driver.run_now([later], by=BY)
    row = row_of(driver, later)
    assert driver.get_overview().at - row.do_after < timedelta(minutes=10)
    keys = [claim.key for claim in Worker(driver).take()]
    assert keys == ["ever", "long ago", "later", "due"]


def test_an_action_on_several_names_is_audited_name_by_name(driver):
    ids = [add(driver, f"k{i}", name=f"N{i % 2}") for i in range(6)]
    result = driver.cancel(ids, by=BY)
    assert set(result.changed) == set(ids)
    rows = {row.name: row for row in driver.list_audit()}
    assert {(row.matched, row.changed) for row in rows.values()} == {(3, 3)}
    assert set(rows["N0"].target["ids"]) == {str(task_id) for task_id in ids[::2]}
    assert rows["N1"].target["keys"] == ["k1", "k3", "k5"]


def test_no_transaction_changes_more_than_500_tasks(driver, insert):
    ids = insert(1200)
    assert len(driver.cancel(ids, by=BY).changed) == 1200
    assert [row.changed for row in driver.list_audit()] == [200, 500, 500]


def test_what_is_not_there_is_not_audited(driver, insert, conn):
    (task_id,) = insert()
    conn.execute("DELETE FROM message_queue")
    (skip,) = driver.cancel([task_id], by=BY).skipped
    assert (skip.task_id, skip.reason) == (task_id, "no such task")
    assert driver.resume(["nobody"], by=BY).skipped[0].reason == "is not paused"
    assert driver.list_audit() == ()


@pytest.mark.parametrize("verb", ["requeue", "cancel", "run_now"])
def test_nothing_is_changed_that_cannot_be_audited(driver, insert, conn, verb):
    (task_id,) = insert(state="FAILED" if verb == "requeue" else "READY")
    before = row_of(driver, task_id)
    conn.execute("ALTER TABLE message_queue_audit RENAME TO elsewhere")
    with pytest.raises(SchemaError):
        getattr(driver, verb)([task_id], by=BY)
    assert row_of(driver, task_id) == before


def test_pausing_is_all_or_nothing(driver):
    with pytest.raises(DriverError):
        driver.pause(["A", "nul\x00"], by=BY)
    assert driver.get_overview().names == ()


def test_pausing_again_is_audited_each_time(driver):
    driver.pause([NAME], by=BY, resume_after=60)
    driver.pause([NAME, NAME], by=BY)
    assert [row.target for row in driver.list_audit()] == [{}, {"resume_after": 60}]


def test_a_pause_that_is_over_cannot_be_resumed(driver, conn):
    driver.pause([NAME], by=BY, resume_after=60)
    conn.execute("UPDATE message_queue_runner SET resume_at = now()")
    assert driver.resume([NAME], by=BY).names == ()
    (entry, _) = driver.list_audit()
    assert (entry.verb, entry.matched, entry.changed, entry.skipped) == ("resume", 1, 0, 1)


def test_a_runner_that_is_held_is_told(driver, insert, conn):
    ids = insert()
    driver._lane("act")._settings["lock_timeout"] = "100ms"
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", [driver.names.lock("runner", NAME)])
        with pytest.raises(DriverUnavailableError, match="runner 'SPEC': held by another"):
            driver.cancel(ids, by=BY)
    assert len(driver.cancel(ids, by=BY).changed) == 1


def test_a_right_that_is_missing_is_told_each_time(database, insert, conn):
    ids = insert(state="FAILED")
    name = f"only_reads_{os.getpid()}"
    role = sql.Identifier(name)
    conn.execute(sql.SQL("CREATE ROLE {}").format(role))
    conn.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(role))
    with closing(PostgresDriver(make_conninfo(database, options=f"-c role={name}"))) as viewer:
        for _ in range(4):
            with pytest.raises(DriverUnavailableError, match="not allowed: permission denied for"):
                viewer.requeue(ids, by=BY)
    conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))


def test_what_was_done_before_a_failure_is_told(driver, conn):
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


def test_an_action_waits_for_a_write_under_way_and_tells_its_state(driver, conn, database):
    worker = Worker(driver)
    task_id = add(driver)
    worker.claim()
    results = []
    with psycopg.connect(database, autocommit=True) as other, conn.transaction():
        conn.execute("UPDATE message_queue SET state = 'DONE'")
        acting = threading.Thread(target=lambda: results.append(driver.cancel([task_id], by=BY)))
        acting.start()
        wait_until(lambda: _waiting(other))
    acting.join(10)
    assert [skip.reason for skip in results[0].skipped] == ["is DONE"]
    assert state_of(driver, task_id) == "DONE"


def test_each_change_is_claimed_by_one_of_many_operators(database, driver, insert):
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


def test_actions_and_a_busy_worker_do_not_disturb_each_other(driver, insert):
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


def test_runners_are_told_what_concerns_them(driver):
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


def test_batches_go_name_by_name():
    names = {"B": list(range(700)), "A": [1]}
    batches = list(actions._batches(names))
    assert [(name, len(ids)) for name, ids in batches] == [("A", 1), ("B", 500), ("B", 200)]
    assert all(one <= two for (one, _), (two, _) in pairwise(batches))


def _waiting(conn):
    return conn.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name LIKE 'esync:act%' AND wait_event_type = 'Lock'"
        " AND datname = current_database()"
    ).fetchone()[0]
