"""The console on a real terminal: it takes it over, keeps it for itself, and gives it back."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading

import pytest
from fix_wait import wait_until

from esync.operations import Operations
from esync_tui.app import run_console
from esync_tui.logs import LogTail, TailHandler, TailStream, logging_into

PROGRAM = r"""
import fcntl, logging, os, sys, termios, threading
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from esync.memory import MemoryDriver
from esync.operations import Operations
from esync.task import new_task
from esync_tui.app import run_console

driver = MemoryDriver()
driver.add(new_task("customer.sync", "K]52;c;aGk=", created_by="[@click=app.quit]x"))

class Engine:
    running = 0
    def start(self):
        print("NOISE printed")
        os.write(1, b"NOISE descriptor 1\n")
        os.write(2, b"NOISE descriptor 2\n")
        logging.getLogger("x").warning("NOISE logged")
    def stop(self, grace):
        return int(os.environ.get("LEFT", "0"))

engine = Engine() if "engine" in sys.argv else None
operations = Operations(driver, who="ana", host="desk", via="console")
code = run_console(driver, operations, title="pty", engine=engine)
print(f"code {code}, threads {threading.active_count()}", flush=True)
"""
OWN_SEQUENCES = (b"\x1b]52", b"\x1b]0;", b"\x1b]2;", b"\x1b]8;", b"\x1bP", b"\x1b_", b"\x1b^")


class Pty:
    """The program above on a terminal of 80 by 24, and everything that it writes."""

    def __init__(self, *arguments, stderr=None, **environ):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.output = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave if stderr is None else stderr,
            start_new_session=True,
            env=os.environ | {"TERM": "xterm-256color"} | environ,
        )
        self.is_open = True
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        try:
            while chunk := os.read(self.master, 65536):
                self.output += chunk
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=10)
        self.hang_up()
        self._reader.join(timeout=5)

    def hang_up(self):
        if self.is_open:
            self.is_open = False
            os.close(self.slave)
            os.close(self.master)

    def see(self, part):
        wait_until(lambda: part in self.output, timeout=60, what=repr(part))

    def press(self, keys):
        os.write(self.master, keys)

    def end(self):
        self.process.wait(timeout=30)
        return self.output


@pytest.mark.parametrize("arguments", [(), ("engine",)])
def test_q_gives_the_terminal_back_as_it_was(arguments):
    with Pty(*arguments) as terminal:
        terminal.see(b"customer.sync")
        terminal.press(b"q")
        output = terminal.end()
        assert b"\x1b[?1049l" in output
        assert re.search(rb"code 0, threads \d", output.rsplit(b"\x1b[?1049l")[-1])
        assert termios.tcgetattr(terminal.slave) == terminal.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back_too(number):
    with Pty("engine") as terminal:
        terminal.see(b"customer.sync")
        terminal.process.send_signal(number)
        terminal.end()
        assert terminal.process.returncode == 0
        if number is not signal.SIGHUP:  # after which the terminal is taken for gone
            assert b"code 0" in terminal.output
            assert termios.tcgetattr(terminal.slave) == terminal.before


@pytest.mark.parametrize("arguments", [(), ("engine",)])
def test_a_terminal_that_is_gone_ends_the_console_in_order(arguments):
    with Pty(*arguments) as terminal:
        terminal.see(b"customer.sync")
        terminal.hang_up()
        terminal.end()
        assert terminal.process.returncode in (0, 120)


def test_nobody_but_the_console_writes_on_the_screen():
    with Pty("engine") as terminal:
        terminal.see(b"customer.sync")
        terminal.press(b"l")
        terminal.see(b"NOISE logged")
        terminal.press(b"q")
        output = terminal.end()
        assert b"NOISE descriptor 1\r\n" not in output
        assert b"NOISE printed\r\n" not in output
        assert b"NOISE descriptor 2" in output


def test_the_terminal_gets_no_sequence_from_elsewhere():
    with Pty() as terminal:
        terminal.see(b"customer.sync")
        terminal.press(b"2")
        terminal.see(b"]52;c;")
        terminal.press(b"q")
        output = terminal.end()
        assert not [sequence for sequence in OWN_SEQUENCES if sequence in output]
        assert not re.search("[\x80-\x9f]", output.decode())


def test_handlers_that_still_run_give_exit_code_five():
    with Pty("engine", LEFT="1") as terminal:
        terminal.see(b"customer.sync")
        terminal.press(b"q")
        terminal.see(b"code 5")


def test_without_a_terminal_the_console_says_so(capsys):
    operations = Operations(object(), who="ana", host="desk", via="console")
    assert run_console(object(), operations, title="none") == 2
    assert capsys.readouterr().err == "the console needs a terminal; esync status needs none\n"


def test_a_tail_never_grows_beyond_its_bound():
    tail = LogTail(lines=3)
    tail.add("\n".join(map(str, range(10))))
    assert [line.text for line in tail.lines()] == ["7", "8", "9"]
    assert tail.added == 10


def test_a_printed_line_is_kept_when_it_is_complete():
    tail = LogTail()
    stream = TailStream(tail)
    stream.write("one\ntw")
    assert [line.text for line in tail.lines()] == ["one"]
    stream.write("o\n")
    assert [line.text for line in tail.lines()] == ["one", "two"]
    stream.write("x" * 10_000)
    stream.write("\n")
    assert len(tail.lines()[-1].text) == 2000


def test_a_record_that_cannot_be_formatted_ends_nothing(capsys):
    tail = LogTail()
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "%d", ("no number",), None)
    TailHandler(tail).emit(record)
    assert tail.lines() == ()
    assert "Logging error" in capsys.readouterr().err


class Tty(io.StringIO):
    def isatty(self):
        return True


def test_logging_goes_to_the_tail_and_back(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Tty())
    root = logging.getLogger()
    before = list(root.handlers)
    to_terminal = logging.StreamHandler(sys.stderr)
    root.addHandler(to_terminal)
    tail = LogTail()
    try:
        with logging_into(tail):
            assert to_terminal not in root.handlers
            logging.getLogger("some.handler").warning("lost \x1b[2J")
        assert root.handlers == [*before, to_terminal]
        assert tail.lines()[-1].text == "WARNING some.handler: lost ␛[2J"
    finally:
        root.removeHandler(to_terminal)


def test_errors_that_are_kept_in_a_file_stay_there(tmp_path):
    kept = tmp_path / "errors"
    with kept.open("wb") as errors, Pty("engine", stderr=errors) as terminal:
        terminal.see(b"customer.sync")
        terminal.press(b"q")
        assert b"code 0" in terminal.end()
    assert kept.read_bytes() == b"NOISE descriptor 2\n"
