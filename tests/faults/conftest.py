"""Workers and producers as processes, the history that they write, and the table they share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psycopg
import pytest

from esync import version

FOLDER = str(Path(__file__).parent)
if FOLDER not in sys.path:
    sys.path.append(FOLDER)  # for the modules beside this file
pytest.register_assert_rewrite("fault_history")

from fault_history import History, Row  # noqa: E402 - see above
from fix_wait import wait_until  # noqa: E402 - the same

LEASE_SECONDS = 3
SETTINGS = {"ESYNC_LEASE": str(LEASE_SECONDS), "ESYNC_HEARTBEAT": "0.5", "ESYNC_POLL": "0.2"}
_COLUMNS = "message_queue_id::text, task_key, seq, state, attempts, superseded_by::text"


class Scene:
    """A database, the processes at it, and what they did."""

    def __init__(self, spawn, *, dsn, file):
        self.dsn = dsn
        self._spawn = spawn
        self._file = file
        self._env = {
            "ESYNC_APP": "fault_app:app",
            "ESYNC_FAULT_HISTORY": str(file),
            "PYTHONPATH": os.pathsep.join([str(Path(version.__file__).parents[1]), FOLDER]),
        }

    def at(self, dsn):
        """Return the same at another database."""
        return Scene(self._spawn, dsn=dsn, file=self._file)

    def work(self, *options, **env):
        """Start a headless worker."""
        settings = self._env | SETTINGS | env
        return self._spawn("worker", "--headless", *options, dsn=self.dsn, env=settings)

    def produce(self, *, keys, seconds=600, rest=0.002):
        """Start a producer; SIGTERM ends it early."""
        numbers = (str(keys), str(seconds), str(rest))
        return self._spawn("fault", *numbers, module="fault_app", dsn=self.dsn, env=self._env)

    @property
    def history(self):
        """What was written so far."""
        return History(self._file)

    def rows(self):
        """Every row of the queue, by its id."""
        with psycopg.connect(self.dsn) as conn:
            rows = map(Row._make, conn.execute(f"SELECT {_COLUMNS} FROM message_queue"))
            return {row.task: row for row in rows}

    def wait_for_end(self, timeout=60):
        """Wait until nothing is to be done any more; return the rows."""
        pending = "SELECT count(*) FROM message_queue WHERE state = ANY (%s)"
        states = ["READY", "RETRY", "IN PROGRESS"]
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            wait_until(
                lambda: conn.execute(pending, (states,)).fetchone() == (0,),
                timeout,
                what="the end of all tasks",
            )
        return self.rows()


@pytest.fixture
def scene(spawn, database, tmp_path):
    """Processes at a fresh database."""
    return Scene(spawn, dsn=database, file=tmp_path / "history")
