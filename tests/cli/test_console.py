"""`esync-console`, and the console over a worker: wrong use, and a real terminal."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest
from fix_spawn import clean_environment
from fix_wait import wait_until

from esync import version
from esync.cli.console import main as console_main
from esync.cli.console_inside import EngineInside
from esync.engine.sync_manager import SyncManager
from esync.task_manager import TaskManager

APP = """
import time
from esync.engine.sync_manager import SyncManager

def app(driver):
    manager = SyncManager(driver)
    manager.register_task_handler(lambda task: time.sleep(task.data["seconds"]), "nap")
    return manager
"""


class TerminalProcess:
    """A process on a terminal of its own, 100 columns by 30 lines."""

    def __init__(self, *arguments, module="esync.cli", folder, dsn, **env):
        self._control, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        paths = os.pathsep.join([str(Path(version.__file__).parents[1]), str(folder)])
        self.popen = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=folder,
            env={
                **clean_environment(),
                "ESYNC_DSN": dsn,
                "TERM": "xterm-256color",
                "PYTHONPATH": paths,
                **env,
            },
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        self._parts = []
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()

    @property
    def shown(self):
        return b"".join(self._parts).decode(errors="replace")

    def press(self, keys):
        os.write(self._control, keys.encode())

    def wait(self, timeout=30):
        code = self.popen.wait(timeout)
        self._reader.join(10)
        return code

    def end(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.wait()
        os.close(self._control)

    def _read(self):
        try:
            while part := os.read(self._control, 65536):
                self._parts.append(part)
        except OSError:  # Linux's way to say that the other side is closed
            pass


@pytest.fixture
def terminal(tmp_path):
    """Start processes on terminals; they are ended with the test."""
    (tmp_path / "console_app.py").write_text(APP)
    started = []

    def start(*arguments, **options):
        started.append(TerminalProcess(*arguments, folder=tmp_path, **options))
        return started[-1]

    yield start
    for process in started:
        process.end()


def test_the_worker_runs_under_its_console_and_ends_with_it(terminal, database, driver):
    task_id = TaskManager(driver).add_task("nap", "1", {"seconds": 0})
    process = terminal("worker", "console_app:app", dsn=database, ESYNC_POLL="0.1")
    wait_until(lambda: driver.get_task(task_id).row.state == "DONE", 30)
    wait_until(lambda: "nap" in process.shown, 20)
    process.press("q")
    assert process.wait() == 0
    assert driver.list_workers() == ()
    assert process.shown.rstrip().endswith("\x1b[?25h") or "\x1b[?1049l" in process.shown


@pytest.mark.parametrize("by", ["signal", "key"])
def test_a_console_that_the_shell_brings_back_draws_everything(terminal, database, by):
    process = terminal(module="esync.cli.console", dsn=database)
    wait_until(lambda: "Overview" in process.shown and "LIVE" in process.shown, 20)
    if by == "key":
        process.press("\x1a")
    else:
        process.popen.send_signal(signal.SIGTSTP)
    os.waitid(os.P_PID, process.popen.pid, os.WSTOPPED | os.WNOWAIT)
    before = len(process.shown)
    process.popen.send_signal(signal.SIGCONT)
    wait_until(lambda: "Overview" in process.shown[before:], 20)
    process.press("q")
    assert process.wait() == 0


def test_leaving_with_handlers_running_exits_5_after_the_grace(terminal, database, driver):
    task_id = TaskManager(driver).add_task("nap", "1", {"seconds": 600})
    process = terminal("worker", "console_app:app", "--grace", "300ms", dsn=database)
    wait_until(lambda: driver.get_task(task_id).row.state == "IN PROGRESS", 30)
    wait_until(lambda: "nap" in process.shown, 20)
    process.press("q")
    wait_until(lambda: "[y/N]" in process.shown, 10)
    time.sleep(0.5)  # the console drops keys that come sooner: nobody can have read the question
    process.press("y")
    assert process.wait() == 5
    assert driver.get_task(task_id).row.state == "IN PROGRESS"


def test_the_console_alone_shows_the_queue(terminal, database, driver):
    TaskManager(driver).add_task("nap", "1")
    process = terminal(module="esync.cli.console", dsn=database)
    wait_until(lambda: "nap" in process.shown, 30)
    process.press("q")
    assert process.wait() == 0
    assert driver.list_workers() == ()


def test_a_missing_schema_is_told_instead_of_a_screen(terminal, empty_database):
    process = terminal(module="esync.cli.console", dsn=empty_database)
    assert process.wait() == 4
    assert "run `esync migrate`" in process.shown


@pytest.fixture
def console(cli, monkeypatch, capsys):
    """Run esync-console in this process, without a terminal."""

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            console_main(arguments, open_driver=cli.open_driver, environ=cli.environ)
        return int(ended.value.code or 0), capsys.readouterr().err

    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return run


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--demo", "--app", "a:b"], "--demo must stand without --app"),
        (["--embedded", "--dsn", "host=x"], "--embedded must stand without --dsn"),
        (["--app", "nowhere:app"], "no module named 'nowhere'"),
        (["--app", "nothing"], "must be module:attribute"),
        (["--nosuch"], "--nosuch"),
        ([], "needs a terminal"),
    ],
)
def test_wrong_use_exits_2(console, arguments, told):
    code, err = console(*arguments)
    assert code == 2
    assert told in err


def test_no_database_named_exits_4(cli, console):
    cli.environ = {}
    code, err = console()
    assert code == 4
    assert "ESYNC_DSN" in err


def test_a_database_that_is_away_is_the_consoles_to_show(cli, console, away):
    cli.fault = away
    assert console()[0] == 2  # it went as far as asking for a terminal


def test_the_engine_inside_counts_and_stops(queue):
    stopped = threading.Event()
    manager = SyncManager(queue.driver, poll=0.1)
    manager.register_task_handler(lambda _task: stopped.wait(30) and None, "nap")
    queue.add("1", name="nap")
    engine = EngineInside(manager)
    engine.start()
    wait_until(lambda: engine.running == 1)
    assert engine.stop(0.1) == 1
    stopped.set()
    assert engine.stop(5) == 0
