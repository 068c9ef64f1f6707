"""Runners that sleep hold locks of the connection that pops, and inserts look for those."""

from __future__ import annotations

from contextlib import ExitStack, closing
from uuid import uuid4

import psycopg
import pytest

from esync.errors import WorkerGoneError
from esync.postgres.driver import PostgresDriver
from esync.postgres.migrate import migrate
from esync.postgres.sleepers import LOCK_LIMIT
from esync.task_manager import TaskManager

_LOCKS = """
SELECT count(*)
FROM pg_locks AS l
JOIN pg_database AS d ON d.oid = l.database
WHERE d.datname = current_database() AND l.locktype = 'advisory'
"""
_POPPER = "application_name LIKE 'esync:pop%' AND datname = current_database()"


@pytest.fixture
def listener(driver):
    with closing(driver.listen()) as listener:
        yield listener


def _locks(conn):
    return conn.execute(_LOCKS).fetchone()[0]


def _insert(conn, name, *, rows=1):
    conn.execute(
        "INSERT INTO message_queue (task_name, task_key)"
        " SELECT %s, n::text FROM generate_series(1, %s) AS n",
        [name, rows],
    )


def _heard(listener, conn):
    """Return what came before a wake-up that is sent now."""
    conn.execute("SELECT pg_notify(channel, 'END') FROM pg_listening_channels() AS channel")
    heard = []
    while "END" not in heard:
        heard += listener.wait(10)
    return heard[: heard.index("END")]


@pytest.fixture
def producer(database, driver):
    """A connection that inserts, and listens so that it knows the channel."""
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(f"LISTEN {driver.names.channel}")
        yield conn


def test_many_rows_of_a_name_that_sleeps_send_one_wake_up(driver, listener, producer):
    driver.sleep(["a"], worker_id=uuid4())
    _insert(producer, "a", rows=1000)
    assert _heard(listener, producer) == ["a"]


def test_names_that_come_by_turns_are_told_once_each(driver, listener, producer):
    driver.sleep(["a", "b"], worker_id=uuid4())
    producer.execute(
        "INSERT INTO message_queue (task_name, task_key)"
        " SELECT CASE n % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' ELSE 'c' END, n::text"
        " FROM generate_series(1, 300) AS n"
    )
    assert sorted(_heard(listener, producer)) == ["a", "b"]


def test_each_transaction_tells_anew(driver, listener, producer):
    driver.sleep(["a"], worker_id=uuid4())
    for _ in range(3):
        _insert(producer, "a")
    assert _heard(listener, producer) == ["a"] * 3


def test_what_was_rolled_back_to_a_savepoint_is_told_when_it_comes_again(
    driver, listener, producer
):
    driver.sleep(["a"], worker_id=uuid4())
    with producer.transaction():
        with producer.transaction(force_rollback=True):
            _insert(producer, "a")
        _insert(producer, "a")
    assert _heard(listener, producer) == ["a"]


def test_two_queues_of_one_transaction_are_both_told(database):
    tables = ("message_queue", "other")
    migrate(database, table="other")
    with ExitStack() as stack:
        drivers = [
            stack.enter_context(closing(PostgresDriver(database, table=table))) for table in tables
        ]
        listeners = [stack.enter_context(closing(driver.listen())) for driver in drivers]
        for driver in drivers:
            driver.sleep(["a"], worker_id=uuid4())
        with psycopg.connect(database) as conn:
            for table in tables:
                conn.execute(f"INSERT INTO {table} (task_name, task_key) VALUES ('a', 'k')")
        assert [listener.wait(10) for listener in listeners] == [["a"], ["a"]]


def test_what_is_due_later_wakes_nobody(driver, listener, producer):
    driver.sleep(["a"], worker_id=uuid4())
    TaskManager(driver).add_task("a", "k", after=60)
    assert _heard(listener, producer) == []


def test_an_insert_keeps_no_lock(driver, conn):
    with conn.transaction():
        _insert(conn, "a", rows=10)
        assert _locks(conn) == 0
    driver.sleep(["a"], worker_id=uuid4())
    with conn.transaction():
        _insert(conn, "a", rows=10)
        assert _locks(conn) == 1


def test_a_look_takes_the_locks_again_on_another_connection(driver, listener, producer, conn):
    worker_id = uuid4()
    driver.sleep(["a", "b"], worker_id=worker_id)
    driver.wake(["b"], worker_id=worker_id)
    ended = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {_POPPER}"
    assert conn.execute(ended).fetchone()[0]
    assert _locks(conn) == 0
    driver.look(["a", "b"], worker_id=worker_id)
    _insert(producer, "b")
    _insert(producer, "a")
    assert _heard(listener, producer) == ["a"]


def test_a_lock_that_an_insert_holds_is_taken_by_the_next_look(driver, listener, producer, conn):
    key = "SELECT pg_advisory_{}(%s, hashtext('a'))"
    conn.execute(key.format("lock"), [driver.names.sleep_space])
    worker_id = uuid4()
    driver.sleep(["a"], worker_id=worker_id)
    conn.execute(key.format("unlock"), [driver.names.sleep_space])
    assert _locks(conn) == 0
    driver.look(["a"], worker_id=worker_id)
    _insert(producer, "a")
    assert _heard(listener, producer) == ["a"]


def test_a_lock_is_taken_once_however_often_a_name_sleeps(driver, conn):
    one, two = uuid4(), uuid4()
    for worker_id in (one, two, one):
        driver.sleep(["a"], worker_id=worker_id)
    assert _locks(conn) == 1
    driver.wake(["a"], worker_id=one)
    assert _locks(conn) == 1
    driver.wake(["a"], worker_id=two)
    assert _locks(conn) == 0


def test_a_connection_takes_no_more_locks_than_it_may(driver, conn):
    worker_id = uuid4()
    names = [f"name {number}" for number in range(LOCK_LIMIT + 50)]
    driver.sleep(names, worker_id=worker_id)
    assert _locks(conn) == LOCK_LIMIT
    driver.wake(names[:100], worker_id=worker_id)
    assert _locks(conn) == LOCK_LIMIT - 50


def test_locks_that_ended_before_the_next_are_taken_again(driver, conn):
    worker_id = uuid4()
    driver.sleep(["a"], worker_id=worker_id)
    ended = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {_POPPER}"
    assert conn.execute(ended).fetchone()[0]
    driver.sleep(["b"], worker_id=worker_id)
    driver.look(["a", "b"], worker_id=worker_id)
    assert _locks(conn) == 2
    driver.wake(["a", "b"], worker_id=worker_id)
    assert _locks(conn) == 0


def test_a_full_lock_table_costs_wake_ups_and_nothing_else(driver, database, conn, caplog):
    worker_id, names = uuid4(), [f"name {number}" for number in range(200)]
    with psycopg.connect(database, autocommit=True) as hoarder:
        with pytest.raises(psycopg.errors.OutOfMemory):
            hoarder.execute("SELECT pg_advisory_lock(n) FROM generate_series(1, 1000000) AS n")
        hoarder.execute("SELECT pg_advisory_unlock(n) FROM generate_series(1, 100) AS n")
        driver.sleep(names, worker_id=worker_id)
        assert "inserts wake nobody until the next look" in caplog.text
        assert driver.look(names, worker_id=worker_id).due == frozenset()
        hoarder.execute("SELECT pg_advisory_unlock_all()")
        driver.look(names, worker_id=worker_id)
        assert _locks(conn) == 200
    driver.wake(names, worker_id=worker_id)
    assert _locks(conn) == 0


def test_a_worker_that_is_gone_sleeps_no_longer(driver, conn):
    worker_id = uuid4()
    driver.sleep(["a"], worker_id=worker_id)
    with pytest.raises(WorkerGoneError):
        driver.pop("a", worker_id=worker_id, count=1)
    driver.look(["a"], worker_id=worker_id)
    assert _locks(conn) == 0


def test_a_driver_that_cannot_listen_takes_no_locks(database, conn):
    with closing(PostgresDriver(database, listen=False)) as driver:
        driver.sleep(["a"], worker_id=uuid4())
        assert _locks(conn) == 0
