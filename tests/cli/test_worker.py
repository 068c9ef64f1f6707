"""`esync worker --headless` as a process: it starts, works, drains, and ends with its exit code."""

from __future__ import annotations

import os
import signal
import socket
import textwrap
import threading
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from fix_wait import wait_until

from esync import version
from esync.snapshot import Filter
from esync.task import TaskState
from esync.task_manager import TaskManager

APP = """
import logging, os, threading, time
from esync.engine.sync_manager import SyncManager

def app(driver):
    manager = SyncManager(driver)

    @manager.handler("echo")
    def echo(task):
        return f"heard {task.data.get('word', '')}"

    @manager.handler("slow")
    def slow(task):
        time.sleep(task.data["seconds"])

    return manager
"""


@pytest.fixture
def folder(tmp_path):
    """A folder on PYTHONPATH with an APP in it."""
    path = tmp_path / "code"
    path.mkdir()
    (path / "worker_app.py").write_text(APP)
    return path


@pytest.fixture
def paths(folder):
    """PYTHONPATH for the esync under test and the APP."""
    return os.pathsep.join([str(Path(version.__file__).parents[1]), str(folder)])


@pytest.fixture
def work(spawn, paths):
    """Start a headless worker."""

    def start(dsn, *arguments, app="worker_app:app", **env):
        variables = {"PYTHONPATH": paths, "ESYNC_POLL": "0.1", "ESYNC_LEASE": "3", **env}
        return spawn("worker", app, "--headless", *arguments, dsn=dsn, env=variables)

    return start


def state_of(driver, task_id):
    return driver.get_task(task_id).row.state


def wait_for_worker(driver):
    return wait_until(driver.list_workers, 20)


def test_it_performs_tasks_and_drains_on_sigterm(work, database, driver):
    task_id = TaskManager(driver).add_task("echo", "1", {"word": "x\x1b[31m"})
    process = work(database)
    wait_until(lambda: state_of(driver, task_id) == "DONE", 20)
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert driver.get_task(task_id).message == "heard x\x1b[31m"
    assert driver.list_workers() == ()
    assert "Traceback" not in process.stderr
    assert process.stdout == ""


def test_sigterm_waits_for_what_runs_within_the_grace(work, database, driver):
    task_id = TaskManager(driver).add_task("slow", "1", {"seconds": 1})
    process = work(database, "--grace", "20s")
    wait_until(lambda: state_of(driver, task_id) == "IN PROGRESS", 20)
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert state_of(driver, task_id) == "DONE"


def test_the_end_of_the_grace_with_handlers_running_exits_5(work, database, driver):
    task_id = TaskManager(driver).add_task("slow", "1", {"seconds": 600})
    process = work(database, "--grace", "200ms")
    wait_until(lambda: state_of(driver, task_id) == "IN PROGRESS", 20)
    process.signal(signal.SIGTERM)
    assert process.wait() == 5
    assert "left with 1 still running: slow 1" in process.stderr
    assert state_of(driver, task_id) == "IN PROGRESS"  # never given back while it may still run
    assert driver.list_workers()[0].is_leaving


LENDER = """
from contextlib import contextmanager
from esync.cli.main import main
from esync.cli.session import open_postgres

@contextmanager
def lend(place, *, purpose):
    try:
        with open_postgres(place, purpose=purpose) as driver:
            yield driver
    finally:
        print("given back")  # as the embedded PostgreSQL, which stops then

main(open_driver=lend)
"""


def test_what_was_lent_is_given_back_before_exit_code_5(spawn, folder, paths, database, driver):
    (folder / "lender.py").write_text(LENDER)
    task_id = TaskManager(driver).add_task("slow", "1", {"seconds": 600})
    command = ("worker", "worker_app:app", "--headless", "--grace", "200ms")
    process = spawn(*command, dsn=database, module="lender", env={"PYTHONPATH": paths})
    wait_until(lambda: state_of(driver, task_id) == "IN PROGRESS", 20)
    process.signal(signal.SIGTERM)
    assert process.wait() == 5
    assert process.stdout == "given back\n"


OWN = """
import os, sys, time
from esync import PostgresDriver, SyncManager, TaskManager

class Driver(PostgresDriver):
    def close(self):
        super().close()
        print("closed")

driver = Driver(os.environ["ESYNC_DSN"])
app = SyncManager(driver)

@app.handler("slow")
def slow(task):
    time.sleep(task.data["seconds"])

@app.handler("add")
def add(task):
    while True:
        TaskManager(driver).add_task("other", "1")
"""


def test_the_driver_of_an_app_is_closed_before_exit_code_5(work, folder, database, driver):
    (folder / "own_app.py").write_text(OWN)
    task_id = TaskManager(driver).add_task("slow", "1", {"seconds": 600})
    process = work(database, "--grace", "200ms", app="own_app:app")
    wait_until(lambda: state_of(driver, task_id) == "IN PROGRESS", 20)
    process.signal(signal.SIGTERM)
    assert process.wait() == 5
    assert process.stdout == "closed\n"


def test_what_cannot_be_given_back_does_not_keep_exit_code_5(work, folder, database, driver):
    (folder / "own_app.py").write_text(OWN)
    TaskManager(driver).add_task("add", "1")
    process = work(database, "--grace", "200ms", app="own_app:app")
    wait_until(lambda: driver.find_tasks("1", name="other"), 20)
    with psycopg.connect(database) as conn:
        conn.execute("LOCK TABLE message_queue IN SHARE MODE")  # the handler waits in its add
        process.signal(signal.SIGTERM)
        assert process.wait() == 5


def test_an_app_that_has_closed_stdout_ends_with_0(work, folder, database, driver):
    (folder / "mute_app.py").write_text(f"{APP}\nimport sys\nsys.stdout.close()\n")
    process = work(database, app="mute_app:app")
    wait_for_worker(driver)
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert "Traceback" not in process.stderr


def test_settings_reach_the_worker_option_before_environment(work, database, driver):
    work(database, "--lease", "7s", ESYNC_LEASE="9")
    assert wait_for_worker(driver)[0].lease_seconds == pytest.approx(7)


def test_settings_come_from_pyproject(spawn, folder, paths, database, driver):
    (folder / "pyproject.toml").write_text(
        '[tool.esync]\napp = "worker_app:app"\nlease = 8\npoll = "100ms"\n'
    )
    code = f"import os; os.chdir({str(folder)!r}); from esync.cli.main import main; main()"
    (folder / "starter.py").write_text(code)
    spawn("worker", "--headless", dsn=database, module="starter", env={"PYTHONPATH": paths})
    assert wait_for_worker(driver)[0].lease_seconds == pytest.approx(8)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--lease", "1s", "--heartbeat", "1s"], "lease must be at least 3 heartbeats"),
        (["--lease", "0"], "lease must"),
        (["--poll", "soon"], "poll must be a duration"),
        (["--grace", "-1"], "grace"),
    ],
)
def test_bad_settings_exit_2_with_one_line(work, database, arguments, told):
    process = work(database, *arguments)
    assert process.wait() == 2
    assert told in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize(
    ("app", "told"),
    [
        ("worker_app:nothing", "worker_app has no 'nothing'"),
        ("nowhere:app", "no module named 'nowhere'"),
        ("worker_app", "must be module:attribute"),
        ("os:system", "cannot load the app 'os:system'"),
    ],
)
def test_an_app_that_cannot_be_loaded_exits_2(work, database, app, told):
    process = work(database, app=app)
    assert process.wait() == 2
    assert told in process.stderr
    assert process.stderr.count("\n") == 1


def test_no_app_exits_2(spawn, database):
    process = spawn("worker", "--headless", dsn=database)
    assert process.wait() == 2
    assert "ESYNC_APP" in process.stderr


def test_no_database_named_exits_4(work):
    process = work(None)
    assert process.wait() == 4
    assert "ESYNC_DSN" in process.stderr


def test_a_missing_schema_exits_4_with_the_command_to_run(work, empty_database):
    process = work(empty_database, "--table", "app.queue")
    assert process.wait() == 4
    assert "run `esync migrate --table app.queue`" in process.stderr


class Refusing:
    """A server that notes each connection and hangs up, as one that is starting may."""

    def __init__(self, attempts):
        self._attempts = attempts
        self._socket = socket.create_server(("127.0.0.1", 0))

    def __enter__(self):
        threading.Thread(target=self._hang_up, name="refusing", daemon=True).start()
        return self._socket.getsockname()[1]

    def __exit__(self, *_exc_info):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _hang_up(self):
        with suppress(OSError):
            while True:
                self._socket.accept()[0].close()
                self._attempts.append(1)


def test_a_database_that_is_away_is_waited_for_and_told_once(work):
    attempts = []
    with Refusing(attempts) as port:
        process = work(f"postgresql://me:hunter2@127.0.0.1:{port}/db")
        wait_until(lambda: len(attempts) > 3, 20)
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert process.stderr.count("trying again") == 1
    assert "hunter2" not in process.stderr


def test_a_ready_manager_brings_its_own_driver(work, folder, database, driver):
    (folder / "ready_app.py").write_text(
        textwrap.dedent(
            """
            import os
            from esync.engine.sync_manager import SyncManager
            from esync.postgres.driver import PostgresDriver

            manager = SyncManager(PostgresDriver(os.environ["OWN_DSN"]), lease=11)
            manager.register_task_handler(lambda task: None, "echo")
            """
        )
    )
    task_id = TaskManager(driver).add_task("echo", "1")
    process = work(None, app="ready_app:manager", OWN_DSN=database, ESYNC_LEASE="")
    wait_until(lambda: state_of(driver, task_id) == "DONE", 20)
    assert driver.list_workers()[0].lease_seconds == pytest.approx(11)
    process.signal(signal.SIGINT)
    assert process.wait() == 0


def test_log_lines_are_harmless(work, folder, database, driver):
    (folder / "loud_app.py").write_text(
        textwrap.dedent(
            r"""
            import logging
            from esync import errors
            from esync.engine.sync_manager import SyncManager

            def app(driver):
                manager = SyncManager(driver)

                @manager.handler("loud")
                def loud(task):
                    logging.getLogger("loud").warning("a\x1b]52;c;eA==\x07b\nforged")
                    raise errors.Fail("\x1b[2J\x9b31m")

                return manager
            """
        )
    )
    TaskManager(driver).add_task("loud", "1")
    process = work(database, app="loud_app:app")
    wait_until(lambda: driver.list_tasks(Filter(states=(TaskState.FAILED,)), limit=1).rows, 20)
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert not {"\x1b", "\x07", "\x9b"} & set(process.stderr)
    assert "\nforged" not in process.stderr


def test_without_a_terminal_there_is_no_console(spawn, paths, database):
    process = spawn("worker", "worker_app:app", dsn=database, env={"PYTHONPATH": paths})
    assert process.wait() == 2
    assert process.stderr.count("\n") == 1
