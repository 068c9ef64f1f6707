"""What stopped processes hold is let go, and a server that hangs is left.

How a worker is stopped in the middle of a pop is among the faults.
"""

from __future__ import annotations

import os
import signal
from contextlib import closing
from uuid import uuid4

import pytest
from fix_wait import wait_until
from psycopg import sql
from psycopg.conninfo import make_conninfo

from esync.driver import Rescued, RunnerInfo, WorkerInfo
from esync.errors import DriverUnavailableError
from esync.postgres import store
from esync.postgres.driver import PostgresDriver

NAME = "frozen"
IDLE = "SHOW idle_in_transaction_session_timeout"
STUCK_LISTENERS = """
SELECT count(*)
FROM pg_stat_activity
WHERE datname = current_database()
    AND application_name LIKE 'esync:listen:%'
    AND wait_event = 'ClientWrite'
"""
FILL = "SELECT pg_notify(%s, repeat('x', 7000) || i) FROM generate_series(1, %s) AS i"


@pytest.fixture
def worker_id(driver):
    worker = WorkerInfo(worker_id=uuid4(), host="h", pid=1, slots=4, lease=300.0, version="t")
    driver.register(worker, [RunnerInfo(name=NAME, slots=4)])
    return worker.worker_id


@pytest.fixture
def limited(database, conn):
    """A driver of a role that may do what a worker must, and end no session."""
    name = f"ends_nobody_{os.getpid()}"
    role = sql.Identifier(name)
    conn.execute(sql.SQL("CREATE ROLE {}").format(role))
    conn.execute("REVOKE EXECUTE ON FUNCTION pg_terminate_backend FROM PUBLIC")
    for kind in ("TABLES", "SEQUENCES"):
        grant = f"GRANT ALL ON ALL {kind} IN SCHEMA public TO {{}}"
        conn.execute(sql.SQL(grant).format(role))
    dsn = make_conninfo(database, options=f"-c role={name}")
    with closing(PostgresDriver(dsn)) as driver:
        yield driver
    conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))


def test_a_worker_that_may_end_no_session_rescues_all_the_same(limited):
    assert limited.rescue(max_crashes=3) == Rescued(0, 0, 0)


def test_a_process_that_stops_within_a_transaction_keeps_its_locks_for_a_while_only(
    driver, worker_id, database, monkeypatch
):
    monkeypatch.setitem(store._SETTINGS["act"], "idle_in_transaction_session_timeout", "200ms")

    def is_held():
        return driver.pop(NAME, worker_id=worker_id, count=1).is_held

    def stop_within():
        with closing(PostgresDriver(database)) as stopped, stopped._holding([NAME]) as conn:
            assert is_held()
            wait_until(lambda: not is_held())
            conn.execute("SELECT 1")

    with pytest.raises(DriverUnavailableError, match="idle-in-transaction timeout"):
        stop_within()


def test_a_listener_that_stops_reading_is_ended_before_the_queue_of_notifications_is_full(
    cluster, driver, database, conn
):
    assert cluster.pid  # skips where the server is not ours: by TCP another timeout does

    def tell(count):
        conn.execute(FILL, [driver.names.channel, count])

    def waits():
        return conn.execute(STUCK_LISTENERS).fetchone()[0]

    def usage():
        return conn.execute("SELECT pg_notification_queue_usage()").fetchone()[0]

    with (
        closing(PostgresDriver(database, purpose="stopped")) as stopped,
        closing(stopped.listen()) as listener,
    ):
        tell(200)
        wait_until(waits)
        driver.rescue(max_crashes=3)
        assert waits()  # it may only be slow
        tell(13_000)
        assert usage() > 0.01
        driver.rescue(max_crashes=3)
        wait_until(lambda: not waits())
        tell(1)
        assert usage() < 0.01
        with pytest.raises(DriverUnavailableError):
            list(iter(lambda: listener.wait(1), None))


def test_only_a_producer_may_pause_within_a_transaction(driver, conn):
    for kind in ("pop", "finish", "beat", "act", "look"):
        with driver._lane(kind).connection() as ours:
            assert ours.execute(IDLE).fetchone() == ("30s",)
    with driver._pooled() as ours:
        assert ours.execute(IDLE).fetchone() == conn.execute(IDLE).fetchone()


@pytest.mark.parametrize("kind", ["pop", "finish", "beat", "look"])
def test_a_session_that_hangs_in_the_server_is_left(cluster, driver, worker_id, kind, monkeypatch):
    assert cluster.pid  # skips where the server is not ours to stop
    silence = store._SILENCE[kind]
    monkeypatch.setitem(store._SILENCE, kind, 0.2)
    driver.close()
    with driver._lane(kind).connection() as conn:
        pid = conn.info.backend_pid
    work = {
        "pop": lambda: driver.pop(NAME, worker_id=worker_id, count=1),
        "finish": lambda: driver.finish([], worker_id=worker_id),
        "beat": lambda: driver.beat(worker_id, names=[NAME]),
        "look": driver.list_workers,
    }[kind]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(DriverUnavailableError, match=r"no answer for 0\.2 s") as raised:
            work()
        assert raised.value.is_ambiguous
        monkeypatch.setitem(store._SILENCE, kind, silence)
        work()
    finally:
        os.kill(pid, signal.SIGCONT)
