"""A worker that is stopped, as by Ctrl-Z or a debugger, while it takes the rows of a pop."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import closing

import psycopg
import pytest
from fix_cluster import SETTINGS, OwnServer
from fix_wait import wait_until
from psycopg.conninfo import make_conninfo

from esync.postgres.driver import PostgresDriver
from esync.postgres.migrate import migrate
from esync.task_manager import TaskManager

PATIENCE = 60
TASKS = 4000
POP = """
SELECT state, wait_event
FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'esync:pop:worker'
"""


@pytest.fixture(params=["unix", "tcp"])
def place(request, scene, spawn):
    """A scene, and so many bytes for each task that a pop of a thousand fills the connection."""
    if request.param == "unix":
        yield scene, 300
        return
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = str(free.getsockname()[1])
    server = OwnServer({**SETTINGS, "listen_addresses": "127.0.0.1", "port": port})
    try:
        dsn = make_conninfo(server.admin_dsn, host="127.0.0.1")
        migrate(dsn)
        yield scene.at(dsn), 20_000
        spawn.end_all()
    finally:
        server.remove()


def stop_in_mid_pop(process, conn):
    """Stop the only worker while the server waits for it to take the rows of a pop."""

    def is_stopped():
        process.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        wait_until(lambda: pop()[0] == "idle" or pop()[1] == "ClientWrite", PATIENCE, what="a pop")
        if pop()[1] == "ClientWrite":
            return True
        process.signal(signal.SIGCONT)
        return False

    def pop():
        return conn.execute(POP).fetchone()

    wait_until(lambda: pop() is not None, PATIENCE, what="the connection that pops")
    wait_until(is_stopped, PATIENCE, what="a worker that is stopped in the middle of a pop")


def test_a_worker_that_is_stopped_while_it_pops_keeps_its_runner_from_nobody(place):
    scene, size = place
    with (
        closing(PostgresDriver(scene.dsn)) as driver,
        psycopg.connect(scene.dsn, autocommit=True) as conn,
    ):
        stopped = scene.work()
        data = {"seconds": 0, "text": "x" * size}
        TaskManager(driver).add_tasks([("fault", f"k{number}", data) for number in range(TASKS)])
        stop_in_mid_pop(stopped, conn)
        other = scene.work()
        rows = scene.wait_for_end(PATIENCE)
        assert len(rows) == TASKS
        assert {row.state for row in rows.values()} == {"DONE"}
        assert {one.pid for one in scene.history.attempts} == {stopped.pid, other.pid}
        stopped.signal(signal.SIGCONT)
        TaskManager(driver).add_task("fault", "last", {"seconds": 0})
        assert scene.wait_for_end(PATIENCE).keys() > rows.keys()
        for process in (stopped, other):
            process.signal(signal.SIGTERM)
            assert process.wait() == 0
            assert "Traceback" not in process.stderr
