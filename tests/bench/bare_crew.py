"""What many processes do without the engine: our statements, and a loop that promises nothing.

`python -m tests.bench.bare_crew DSN KIND NAMES SLOTS SECONDS` is one of the processes. It drains
the queue whenever a line comes on stdin, and prints when it finished how many tasks.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psycopg

from esync import PostgresDriver
from tests.bench.bare import BATCH, finish, register
from tests.bench.drain import fill
from tests.fix_spawn import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from esync.driver import Place
    from tests.bench.server import Server


class Kind(StrEnum):
    """What the processes execute."""

    OURS = "our statements"
    NAIVE = "FOR UPDATE SKIP LOCKED"


SLOW_BATCH = 500
"""Tasks in one pop then: more than half a second of eight slots of 10 ms."""
GATHER_SECONDS = 0.25
"""How long slow outcomes wait for others. The engine writes them sooner, so this is a limit."""

_AHEAD = 2
"""Batches that may wait for the slots."""

_TABLE = """
CREATE TABLE naive (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    key text NOT NULL,
    do_after timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL,
    at timestamptz,
    data jsonb NOT NULL
)
"""
_INDEX = "CREATE INDEX ON naive (name, do_after, id) WHERE state = 'READY'"
_FILL = """
INSERT INTO naive (name, key, state, data)
SELECT 'bench.' || i %% %s, i::text, 'READY', '{"i": 1}'
FROM generate_series(1, %s) AS i
"""
_POP = """
UPDATE naive
SET state = 'RUNNING', at = now()
WHERE id = ANY (ARRAY(
    SELECT id
    FROM naive
    WHERE name = %s AND state = 'READY' AND do_after <= now()
    ORDER BY do_after, id
    LIMIT %s
    FOR UPDATE SKIP LOCKED
))
RETURNING id, key, data
"""
_FINISH = "UPDATE naive SET state = 'DONE', at = now() WHERE id = ANY (%s) AND state = 'RUNNING'"


class BareCrew:
    """Processes that wait for work; made by `bare_crew`."""

    def __init__(
        self, server: Server, dsn: str, *, kind: Kind, names: int, processes: list[subprocess.Popen]
    ) -> None:
        self._server = server
        self._dsn = dsn
        self._kind = kind
        self._names = names
        self._processes = processes

    def drain(self, tasks: int) -> float:
        """Fill the queue, let it be drained; return tasks per second as `Clock.span` counts."""
        with psycopg.connect(self._dsn, autocommit=True) as conn:
            conn.execute("TRUNCATE naive, message_queue")
            if self._kind is Kind.NAIVE:
                conn.execute(_FILL, (self._names, tasks))
            else:
                fill(self._dsn, tasks, names=self._names)
        self._server.settle(self._dsn)
        for process in self._processes:
            process.stdin.write("drain\n")
            process.stdin.flush()
        answers = [_answer(process) for process in self._processes]
        finishes = sorted(pair for answer in answers for pair in json.loads(answer))
        if (done := sum(count for _, count in finishes)) != tasks:
            raise RuntimeError(f"{self._kind} finished {done} of {tasks} tasks")
        return sum(count for _, count in finishes[1:]) / (finishes[-1][0] - finishes[0][0])


@contextmanager
def bare_crew(
    server: Server, *, kind: Kind, processes: int, names: int, slots: int = 0, seconds: float = 0.0
) -> Iterator[BareCrew]:
    """Lend processes that are connected; with `slots`, each performs by sleeping in threads."""
    with server.queue() as dsn:
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(_TABLE)
            conn.execute(_INDEX)
        arguments = [dsn, kind, str(names), str(slots), str(seconds)]
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.bench.bare_crew", *arguments],
                cwd=Path(__file__).parents[2],
                env=clean_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(processes)
        ]
        try:
            for process in started:
                _answer(process)
            yield BareCrew(server, dsn, kind=kind, names=names, processes=started)
        finally:
            for process in started:
                process.kill()
                process.communicate()


def _answer(process: subprocess.Popen) -> str:
    """Return the next line of a process; what it died of stands on stderr."""
    if not (line := process.stdout.readline()):
        raise RuntimeError(f"a bare process ended with {process.wait()}")
    return line


class _Statements(Protocol):
    def pop(self, name: str, count: int) -> Sequence[Any] | None:
        """Return claims, none if nothing is due, None if somebody else pops."""

    def finish(self, claims: Sequence[Any]) -> None:
        """Record that they are done."""


class _Ours:
    """The driver, with pops that begin where the last one ended, as the engine's do."""

    def __init__(self, driver: PostgresDriver, names: Sequence[str]) -> None:
        self._driver = driver
        self._worker_id = register(driver, names)
        self._places: dict[str, Place | None] = {}

    def pop(self, name: str, count: int) -> Sequence[Any] | None:
        place = self._places.pop(name, None)
        popped = self._driver.pop(name, worker_id=self._worker_id, count=count, after=place)
        if not popped.is_exhausted:
            self._places[name] = popped.place
        # What lay before the place was left out: only from the start a pop knows that none is due.
        is_unsure = popped.is_held or place is not None
        return popped.claims or (None if is_unsure else ())

    def finish(self, claims: Sequence[Any]) -> None:
        finish(self._driver, claims, worker_id=self._worker_id)


class _Naive:
    """One table, one index, no latest wins, no attempts, no lease, nobody who could look."""

    def __init__(self, popping: psycopg.Connection, finishing: psycopg.Connection) -> None:
        self._popping = popping
        self._finishing = finishing
        for conn in (popping, finishing):
            conn.execute("SET enable_seqscan = off")

    def pop(self, name: str, count: int) -> Sequence[Any]:
        cursor = self._popping.execute(_POP, (name, count), prepare=True, binary=True)
        return cursor.fetchall()

    def finish(self, claims: Sequence[Any]) -> None:
        ids = [row[0] for row in claims]
        self._finishing.execute(_FINISH, (ids,), prepare=True, binary=True)


class _Drain:
    """One drain by one process: a thread that pops, slots if any, and this one that finishes."""

    def __init__(
        self, statements: _Statements, names: Sequence[str], *, slots: int, seconds: float
    ) -> None:
        self._statements = statements
        self._names = names
        self._slots = slots
        self._seconds = seconds
        self._popped: queue.Queue[Sequence[Any] | None] = queue.Queue(maxsize=_AHEAD)
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run(self) -> list[tuple[float, int]]:
        """Return when how many tasks were finished."""
        threading.Thread(target=self._pop_all, name="pop").start()
        if not self._slots:
            return [self._finish(claims) for claims in iter(self._popped.get, None)]
        source = self._claims()
        lock = threading.Lock()
        for _ in range(self._slots):
            threading.Thread(target=self._perform, args=(source, lock), name="slot").start()
        return list(self._finish_gathered())

    def _pop_all(self) -> None:
        count = SLOW_BATCH if self._slots else BATCH
        left = set(self._names)
        try:
            while left:
                for name in self._names:
                    claims = self._statements.pop(name, count)
                    if claims:
                        self._popped.put(claims)
                    elif claims is not None:
                        left.discard(name)
        finally:  # what could not be popped is missed by the count
            self._popped.put(None)

    def _claims(self) -> Iterator[Any]:
        for claims in iter(self._popped.get, None):
            yield from claims

    def _perform(self, source: Iterator[Any], lock: threading.Lock) -> None:
        while True:
            with lock:  # a generator cannot be asked by two threads at once
                claim = next(source, None)
            if claim is not None:
                time.sleep(self._seconds)
            self._ended.put(claim)
            if claim is None:
                return

    def _finish_gathered(self) -> Iterator[tuple[float, int]]:
        left = self._slots
        while left:
            time.sleep(GATHER_SECONDS)
            ended = [self._ended.get() for _ in range(self._ended.qsize())]
            left -= ended.count(None)
            if claims := [claim for claim in ended if claim is not None]:
                yield self._finish(claims)

    def _finish(self, claims: Sequence[Any]) -> tuple[float, int]:
        self._statements.finish(claims)
        return time.monotonic(), len(claims)


def main(dsn: str, kind: str, names: str, slots: str, seconds: str) -> None:
    """Drain whenever a line comes, until no more can come."""
    every = [f"bench.{number}" for number in range(int(names))]
    # Each process begins at another name, as fifty of them would get in each other's way.
    first = os.getpid() % len(every)
    every = every[first:] + every[:first]
    with ExitStack() as stack:
        statements: _Statements
        if Kind(kind) is Kind.OURS:
            statements = _Ours(stack.enter_context(closing(PostgresDriver(dsn))), every)
        else:
            pair = [stack.enter_context(psycopg.connect(dsn, autocommit=True)) for _ in range(2)]
            statements = _Naive(*pair)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for _ in sys.stdin:
            drain = _Drain(statements, every, slots=int(slots), seconds=float(seconds))
            sys.stdout.write(f"{json.dumps(drain.run())}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
