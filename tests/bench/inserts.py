"""Point 7: what the wake-up trigger costs producers that insert one task at a time."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from esync.task import TaskState
from tests.bench.crew import crew
from tests.bench.pgbench import pgbench
from tests.bench.ratio import Ratio, ratios
from tests.bench.report import Figure, say
from tests.bench.seed import seed

if TYPE_CHECKING:
    from tests.bench.crew import Crew
    from tests.bench.server import Server

CLIENTS = 16
SECONDS = 2
ROUNDS = 3
"""For each run: many short ones by turns, since the speed of a shared machine drifts."""
LEAD_SECONDS = 3
"""Before a round in which a worker that slept performs the tasks. One that nothing wakes comes up
to a second later, and until then leaves both cores to the clients."""
LEAST = 0.9
BACKLOG = 300_000
"""More than a worker drains until the inserts are over."""

_SCRIPT = r"""
\set key random(1, 1000000000)
INSERT INTO message_queue (
    message_queue_id, data, task_key, task_name, created_by, do_after, priority
) VALUES (
    gen_random_uuid(), '{{}}'::jsonb, :key, '{name}', 'bench', statement_timestamp(), 5
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What workers do while tasks are inserted."""

    what: str
    has_worker: bool = True
    name: str = "bench.0"
    """Of the inserted tasks; the worker's is bench.0."""
    backlog: int = 0
    """Tasks of the worker's name that wait already."""
    lead: int = 0
    """Seconds of inserts that are not counted."""


def run(server: Server, *, runs: int, quick: bool) -> str:
    """Return one table: inserts/s without the trigger and with it, by turns."""
    backlog = BACKLOG // 3 if quick else BACKLOG
    cases = (
        Case(what="no worker", has_worker=False),
        Case(what="a worker asleep, for another name", name="other"),
        Case(what="a worker that waits for these tasks", lead=LEAD_SECONDS),
        Case(what="a busy worker", backlog=backlog),
    )
    lines = [_compare(server, case, runs=runs, seconds=1 if quick else SECONDS) for case in cases]
    return ratios(f"The wake-up trigger: {CLIENTS} clients inserting singly, tasks/s", lines)


def _compare(server: Server, case: Case, *, runs: int, seconds: int) -> Ratio:
    """Insert without the trigger and with it, by turns, without it first and last."""
    say(f"inserts: {case.what}")
    measured = {False: [], True: []}
    with ExitStack() as stack:
        dsn = stack.enter_context(server.queue())
        workers = None
        if case.has_worker:
            # Nobody cancels the tasks that have no handler while the inserts are measured.
            workers = stack.enter_context(crew(server, dsn, worker={"unhandled_grace": 3600}))
        for has_trigger in [False, *[True, False] * runs * ROUNDS]:
            _prepare(server, dsn, case, workers, has_trigger=has_trigger)
            script = _SCRIPT.format(name=case.name)
            rate = pgbench(dsn, script, clients=CLIENTS, seconds=seconds, lead=case.lead)
            if rate is None:
                raise RuntimeError("inserts needs pgbench, and found none on PATH")
            measured[has_trigger].append(rate)
            say(f"  {'with' if has_trigger else 'without'} it {rate:,.0f}/s")
    return Ratio(
        what=case.what,
        base=Figure(tuple(measured[False])),
        measured=Figure(tuple(measured[True])),
        least=LEAST,
    )


def _prepare(
    server: Server, dsn: str, case: Case, workers: Crew | None, *, has_trigger: bool
) -> None:
    """Empty the queue, then let every insert begin with the same."""
    if workers is not None:
        workers.pause()
    with psycopg.connect(dsn, autocommit=True) as conn:
        switch = "ENABLE" if has_trigger else "DISABLE"
        conn.execute(f"ALTER TABLE message_queue {switch} TRIGGER message_queue_wake")
        conn.execute("TRUNCATE message_queue")
    if case.backlog:
        seed(dsn, case.backlog, state=TaskState.READY, prefix="ready:")
    server.settle(dsn)
    if workers is not None:
        workers.resume()
    if workers is not None and case.backlog:
        workers.wait_until_awake()
