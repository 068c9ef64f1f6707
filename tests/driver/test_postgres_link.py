"""Links exchange calls for rows; single adds go over one, and those beside them over a pool."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from uuid import UUID

import psycopg
import pytest
from fix_wait import wait_until

from esync.errors import DriverError, DriverUnavailableError
from esync.postgres.driver import PostgresDriver
from esync.postgres.lane import Lane, check_conninfo, connect
from esync.postgres.link import Link
from esync.task_manager import TaskManager

_PRODUCERS = "application_name LIKE 'esync:produce%' AND datname = current_database()"


@pytest.fixture
def tasks(driver):
    return TaskManager(driver)


@pytest.fixture
def link(database):
    link = Link(connect(check_conninfo(database), purpose="test"))
    yield link
    link.close()


def _one(conn, query):
    return conn.execute(query).fetchone()[0]


def _is_waiting_for_lock(conn):
    return _one(
        conn,
        f"SELECT count(*) FROM pg_stat_activity WHERE {_PRODUCERS} AND wait_event_type = 'Lock'",
    )


def test_an_add_needs_one_connection_and_no_pool(tasks, conn):
    for number in range(20):
        tasks.add_task("name", str(number))
    assert _one(conn, f"SELECT count(*) FROM pg_stat_activity WHERE {_PRODUCERS}") == 1


def test_a_connection_that_the_server_has_ended_is_opened_again_unnoticed(tasks, conn):
    tasks.add_task("name", "before")
    ended = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {_PRODUCERS}"
    assert _one(conn, ended)
    tasks.add_task("name", "after")
    assert tasks.get_task_count() == 2


def test_threads_add_beside_each_other(tasks):
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda number: tasks.add_task("name", str(number)), range(400)))
    assert tasks.get_task_count() == 400


def test_an_add_that_waits_keeps_no_other_thread_waiting(tasks, conn, database):
    tasks.add_task("name", "first")
    with psycopg.connect(database) as holder, ThreadPoolExecutor(2) as threads:
        holder.execute("LOCK TABLE message_queue IN EXCLUSIVE MODE")
        waiting = [threads.submit(tasks.add_task, "name", key) for key in ("a", "b")]
        wait_until(lambda: _is_waiting_for_lock(conn) == 2)
        holder.rollback()
        for future in waiting:
            future.result(timeout=10)
    assert tasks.get_task_count() == 3


def test_the_largest_data_and_every_character_is_stored_as_it_is(tasks, conn):
    text = "x" * (1024 * 1024 - 100) + "é\u2028𝄞\\'\""
    tasks.add_task("näme", "kéy'\"\\", {"text": text})
    assert _one(conn, "SELECT task_name || ' ' || task_key FROM message_queue") == ("näme kéy'\"\\")
    assert _one(conn, "SELECT data->>'text' FROM message_queue") == text


def test_what_the_database_refuses_is_told_and_costs_no_connection(tasks, conn):
    tasks.add_task("name", "first")
    pid = _one(conn, f"SELECT pid FROM pg_stat_activity WHERE {_PRODUCERS}")
    conn.execute("ALTER TABLE message_queue ADD CONSTRAINT house CHECK (task_key <> 'bad')")
    with pytest.raises(DriverError, match="house"):
        tasks.add_task("name", "bad")
    tasks.add_task("name", "good")
    assert _one(conn, f"SELECT pid FROM pg_stat_activity WHERE {_PRODUCERS}") == pid


def test_an_interrupted_add_ends_and_is_not_stored_later(tasks, conn, database):
    tasks.add_task("name", "first")
    with psycopg.connect(database) as holder:
        holder.execute("LOCK TABLE message_queue IN EXCLUSIVE MODE")

        def interrupt():
            wait_until(lambda: _is_waiting_for_lock(conn))
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        with pytest.raises(KeyboardInterrupt):
            tasks.add_task("name", "interrupted")
        interrupter.join()
        wait_until(lambda: not _is_waiting_for_lock(conn))
    tasks.add_task("name", "last")
    assert tasks.get_task_count() == 2


def test_an_add_without_a_server_says_why():
    driver = PostgresDriver("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
    with pytest.raises(DriverUnavailableError, match="database away"):
        TaskManager(driver).add_task("name", "key")
    driver.close()


def test_values_are_sent_as_the_statement_takes_them(link):
    call = (
        b"SELECT $1::text[], $2::float8[], $3::bool, $4::uuid, $5::int8",
        [["a", None, "NULL", '"\\', ""], [1.5, float("inf")], True, UUID(int=7), None],
    )
    assert link.exchange(call) == [
        [(["a", None, "NULL", '"\\', ""], [1.5, float("inf")], True, UUID(int=7), None)]
    ]


def test_text_with_nul_is_refused_and_not_cut(link):
    with pytest.raises(psycopg.DataError, match="NUL"):
        link.exchange((b"SELECT $1::text", ["before\0after"]))
    assert link.is_fit


def test_a_call_that_fails_undoes_those_before_it(link, tasks, conn):
    tasks.add_task("name", "kept")
    with pytest.raises(psycopg.errors.DivisionByZero):
        link.exchange((b"DELETE FROM message_queue", []), (b"SELECT 1 / $1::int", [0]))
    assert link.is_fit
    assert _one(conn, "SELECT count(*) FROM message_queue") == 1


def test_a_statement_that_cannot_be_prepared_is_told_each_time(link):
    for _ in range(2):
        with pytest.raises(psycopg.errors.UndefinedTable):
            link.exchange((b"SELECT FROM nothing", []))
    assert link.exchange((b"SELECT 1", [])) == [[(1,)]]


def test_statements_that_a_rollback_of_psycopg_deallocates_are_prepared_again_unnoticed(database):
    with closing(Lane(check_conninfo(database), purpose="test", settings={})) as lane:
        calls = [(b"SELECT 1", []), (b"SELECT 2", [])]
        for _ in range(3):
            assert lane.exchange(*calls) == [[(1,)], [(2,)]]
            link = lane.link
            with suppress(LookupError), lane.connection() as ours, ours.transaction():
                ours.execute("SELECT 3", prepare=True)
                raise LookupError
            assert _one(link.conn, "SELECT count(*) FROM pg_prepared_statements") == 0
            assert lane.exchange(*calls) == [[(1,)], [(2,)]]
            assert lane.link is link


def test_what_came_before_a_statement_that_is_not_prepared_is_not_done_again(link):
    link.exchange((b"SELECT 1", []))
    link.conn.execute("DEALLOCATE ALL")
    with pytest.raises(psycopg.errors.InvalidSqlStatementName):
        link.exchange((b"SELECT pg_advisory_lock(7)", []), (b"SELECT 1", []))
    assert not link.is_fit


def test_a_prepared_statement_that_is_of_no_use_any_more_is_prepared_again(database):
    lane = Lane(check_conninfo(database), purpose="test", settings={})
    call = (b"SELECT seq FROM message_queue", [])
    assert lane.exchange(call) == [[]]
    with lane.connection() as ours:
        ours.execute("ALTER TABLE message_queue ALTER seq TYPE integer")
    with pytest.raises(DriverError):
        lane.exchange(call)
    assert lane.exchange(call) == [[]]
    lane.close()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (b"SELECT pg_sleep(60)", "statement stopped: canceling statement due to statement timeout"),
        (b"SELECT pg_advisory_lock(7)", "database busy: canceling statement due to lock timeout"),
        (b"SELECT pg_terminate_backend(pg_backend_pid())", "database away: terminating connection"),
    ],
)
def test_what_the_database_stopped_is_not_told_as_its_absence(database, conn, statement, words):
    settings = {"lock_timeout": "20ms", "statement_timeout": "500ms"}
    lane = Lane(check_conninfo(database), purpose="test", settings=settings)
    conn.execute("SELECT pg_advisory_lock(7)")
    with pytest.raises(DriverUnavailableError, match=words), lane.connection() as lent:
        lent.execute(statement)
    lane.close()
