from __future__ import annotations

from contextlib import contextmanager

import pytest

from esync.demo.chaos import POLITE
from esync.demo.source import Source
from esync.demo.target_client import TargetClient
from esync.demo.target_process import TargetProcess


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path, monkeypatch):
    """Let the targets that tests kill leave their stores where pytest removes them."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def run_target(tmp_path):
    """Start a target that behaves as it is told; yields its client, whose `process` it is."""

    @contextmanager
    def run(chaos=POLITE):
        with TargetProcess(store=tmp_path / "target.sqlite", chaos=chaos, seed=1) as process:
            client = TargetClient(process.port)
            client.process = process
            yield client
            client.close()

    return run


@pytest.fixture
def target(run_target):
    """A polite target."""
    with run_target() as client:
        yield client


@pytest.fixture
def source(database):
    """The source's tables beside a queue."""
    source = Source(database, schema="public", table="message_queue")
    source.open()
    source.create()
    yield source
    source.close()
