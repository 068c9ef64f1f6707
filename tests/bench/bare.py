"""The same work without the engine: what its statements, PostgreSQL and psycopg allow.

`python -m tests.bench.bare DSN MODE` drains a filled queue in a process of its own, as a worker
does, and prints the tasks per second; MODE is `turns` or `both`.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg

from esync import PostgresDriver
from esync.driver import RunnerInfo, WorkerInfo
from esync.task import Finish, TaskState, new_task_id
from tests.bench.adding import BULK_COUNT, CALL_COUNT, NAME, SINGLE_COUNT, WARM_COUNT, payload
from tests.bench.drain import fill
from tests.bench.pgbench import pgbench
from tests.fix_spawn import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from esync.task import Claim
    from tests.bench.server import Server

BATCH = 1000
"""Tasks in one pop and in one finish."""

PGBENCH_SECONDS = 4

_AHEAD = 2
"""Batches that may wait between the two threads."""

_COLUMNS = "message_queue_id, data, task_key, task_name, created_by, do_after, priority"
_INSERT = (
    f"INSERT INTO message_queue ({_COLUMNS})"
    " VALUES (%s, %s::jsonb, %s, %s, %s, statement_timestamp(), %s)"
)
_COPY = f"COPY message_queue ({_COLUMNS}) FROM STDIN"
_SCRIPT = (
    "\\set i :i + 1\n"
    f"INSERT INTO message_queue ({_COLUMNS})"
    " VALUES ({id}, '{{\"i\": 1}}'::jsonb, :i, '{name}', 'bench', statement_timestamp(), 5);\n"
)
_TIME_ORDERED_IDS_SINCE = 180_000
"""The server's version that has uuidv7()."""


def pop_then_finish(server: Server, *, tasks: int) -> float:
    """Return the tasks per second of pop and finish in turn, in one thread."""
    return _drain_apart(server, tasks=tasks, mode="turns")


def pop_and_finish(server: Server, *, tasks: int) -> float:
    """Return the tasks per second of pop in one thread and finish in another."""
    return _drain_apart(server, tasks=tasks, mode="both")


def insert(server: Server, *, count: int = SINGLE_COUNT) -> float:
    """Return the rows per second of psycopg's INSERT in autocommit."""
    rows = [
        (new_task_id(), json.dumps(payload(number)), str(number), NAME, "bench", 5)
        for number in range(count + WARM_COUNT)
    ]
    with server.queue() as dsn, psycopg.connect(dsn, autocommit=True) as conn:
        server.settle(dsn)
        cursor = conn.cursor()
        for row in rows[:WARM_COUNT]:
            cursor.execute(_INSERT, row)
        began = time.monotonic()
        for row in rows[WARM_COUNT:]:
            cursor.execute(_INSERT, row)
        return count / (time.monotonic() - began)


def copy(server: Server, *, count: int = BULK_COUNT) -> float:
    """Return the rows per second of psycopg's COPY, in as many commits as add_tasks has calls."""
    now = datetime.now(UTC).isoformat()
    rows = [
        (new_task_id().hex, json.dumps(payload(number)), str(number), NAME, "bench", now, "5")
        for number in range(count)
    ]
    with server.queue() as dsn, psycopg.connect(dsn, autocommit=True) as conn:
        server.settle(dsn)
        cursor = conn.cursor()
        began = time.monotonic()
        for first in range(0, count, CALL_COUNT):
            with cursor.copy(_COPY) as into:
                for row in rows[first : first + CALL_COUNT]:
                    into.write_row(row)
        return count / (time.monotonic() - began)


def insert_by_pgbench(server: Server, *, seconds: int = PGBENCH_SECONDS) -> float | None:
    """Return the rows per second of pgbench's prepared INSERT; None without a pgbench."""
    with server.queue() as dsn:
        script = _script(dsn)
        server.settle(dsn)
        return pgbench(dsn, script, seconds=seconds)


def register(driver: PostgresDriver, names: Sequence[str]) -> UUID:
    """Become a worker whose lease outlasts the measurement, so that nothing beats."""
    worker = WorkerInfo(
        worker_id=uuid4(),
        host="bench",
        pid=os.getpid(),
        slots=BATCH,
        lease=600.0,
        version="bench",
    )
    driver.register(worker, [RunnerInfo(name=name, slots=BATCH) for name in names])
    return worker.worker_id


def finish(driver: PostgresDriver, claims: Sequence[Claim], *, worker_id: UUID) -> int:
    """Record that claims are done; return of how many that was recorded."""
    finishes = [
        Finish(task_id=claim.task_id, attempt=claim.attempt, state=TaskState.DONE, message="")
        for claim in claims
    ]
    return len(driver.finish(finishes, worker_id=worker_id))


def _drain_apart(server: Server, *, tasks: int, mode: str) -> float:
    with server.queue() as dsn:
        fill(dsn, tasks)
        server.settle(dsn)
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.bare", dsn, mode],
            cwd=Path(__file__).parents[2],
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    if done.returncode:
        raise RuntimeError(f"{mode} ended with {done.returncode}: {done.stderr[-2000:]}")
    count, seconds = done.stdout.split()
    if int(count) != tasks:
        raise RuntimeError(f"{mode} finished {count} of {tasks} tasks")
    return tasks / float(seconds)


def _script(dsn: str) -> str:
    """Return what pgbench runs, with time-ordered ids as ours where the server has them."""
    with psycopg.connect(dsn) as conn:
        version = conn.info.server_version
    make_id = "uuidv7()" if version >= _TIME_ORDERED_IDS_SINCE else "gen_random_uuid()"
    return _SCRIPT.format(id=make_id, name=NAME)


class _Drainer:
    """Pops and finishes without performing anything; runs in a process of its own."""

    def __init__(self, driver: PostgresDriver) -> None:
        self._driver = driver
        self._worker_id = register(driver, [NAME])
        self._finished = 0
        self._began = 0.0

    def take_turns(self) -> tuple[int, float]:
        """Return the tasks, and the seconds from the first claims to the last finish."""
        for claims in self._batches():
            self._finish(claims)
        return self._finished, time.monotonic() - self._began

    def do_both(self) -> tuple[int, float]:
        """Return the same, with the finishes behind the pops in a thread of their own."""
        waiting: queue.Queue[tuple[Claim, ...] | None] = queue.Queue(maxsize=_AHEAD)
        finisher = threading.Thread(target=self._finish_all, args=(waiting,), name="finish")
        finisher.start()
        try:
            for claims in self._batches():
                waiting.put(claims)
        finally:
            waiting.put(None)
            finisher.join()
        return self._finished, time.monotonic() - self._began

    def _batches(self) -> Iterator[tuple[Claim, ...]]:
        while claims := self._pop():
            # From the first claims on, as drain.py counts from the first handler's start.
            self._began = self._began or time.monotonic()
            yield claims

    def _pop(self) -> tuple[Claim, ...]:
        return self._driver.pop(NAME, worker_id=self._worker_id, count=BATCH).claims

    def _finish_all(self, waiting: queue.Queue[tuple[Claim, ...] | None]) -> None:
        while claims := waiting.get():
            self._finish(claims)

    def _finish(self, claims: tuple[Claim, ...]) -> None:
        self._finished += finish(self._driver, claims, worker_id=self._worker_id)


def main(dsn: str, mode: str) -> None:
    """Drain the queue and print how many tasks in how many seconds."""
    with closing(PostgresDriver(dsn)) as driver:
        drainer = _Drainer(driver)
        count, seconds = drainer.take_turns() if mode == "turns" else drainer.do_both()
    sys.stdout.write(f"{count} {seconds:.6f}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
