"""The command line in this process, on a queue in memory."""

from __future__ import annotations

import io
import json
import sys
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from fix_memory import Queue

from esync.cli.main import main
from esync.errors import DriverUnavailableError, SchemaError


class Outcome(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The one JSON document that was printed."""
        return json.loads(self.out)


class Terminal(io.TextIOWrapper):
    """A standard input that a person types into."""

    def isatty(self):
        return True


class Cli:
    """Runs commands in an empty folder, on a queue in memory."""

    def __init__(self, queue, folder, monkeypatch, capsys):
        self.queue = queue
        self.folder = folder
        self.environ = {"ESYNC_DSN": "postgresql:///tests"}
        self.places = []
        self.fault = None
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments, stdin="", typed=None):
        """Run a command; `typed` is what a person answers, `stdin` what a pipe holds."""
        if typed is not None:
            given = Terminal(io.BytesIO(typed.encode()))
        else:
            given = io.TextIOWrapper(
                io.BytesIO(stdin if isinstance(stdin, bytes) else stdin.encode())
            )
        self._monkeypatch.setattr(sys, "stdin", given)
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments, open_driver=self.open_driver, environ=self.environ)
        out, err = self._capsys.readouterr()
        assert "Traceback" not in err
        return Outcome(int(ended.value.code or 0), out, err)

    @contextmanager
    def open_driver(self, place, *, purpose):
        assert purpose
        self.places.append(place)
        yield self.queue.driver if self.fault is None else FaultyDriver(self.fault)


class FaultyDriver:
    """A store that is away, or has no schema."""

    def __init__(self, fault):
        self._fault = fault

    def check_schema(self):
        raise self._fault

    def add(self, _task):
        raise self._fault


@pytest.fixture
def queue():
    return Queue()


@pytest.fixture
def cli(queue, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    return Cli(queue, tmp_path, monkeypatch, capsys)


@pytest.fixture
def away():
    return DriverUnavailableError("cannot reach the database: connection refused")


@pytest.fixture
def missing():
    return SchemaError("schema missing: no public.message_queue; run `esync migrate`")
