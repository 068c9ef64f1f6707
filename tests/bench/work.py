"""The kinds of work that are measured, and what each must reach."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Work(StrEnum):
    """A line of the table."""

    DRAIN = "drain, one worker process, tasks/s"
    DRAIN_TWICE = "drain, two worker processes, tasks/s"
    ADD = "add one task, one transaction each, one client, tasks/s"
    ADD_MANY = "add in bulk, tasks/s"
    LATENCY_P50 = "idle worker: commit to handler start, p50, ms"
    LATENCY_P95 = "the same, p95, ms"
    LATENCY_P99 = "the same, p99, ms"
    LATENCY_MOST = "the same, the longest, ms"
    IDLE_CPU = "idle worker with twenty runners: CPU, %"
    IDLE_SERVER_CPU = "the same: CPU of its connections in the server, %"
    IDLE_TRANSACTIONS = "the same: transactions/s"
    IDLE_CONNECTIONS = "the same: connections"
    IDLE_MEMORY = "the same: peak memory, MB"
    MEMORY = "peak memory of a draining worker, MB"


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure must reach and aims for; the figures of the issue."""

    must: float
    aims_for: float | None = None
    is_ceiling: bool = False
    """Less is better."""

    def is_reached(self, value: float) -> bool:
        """Return whether a figure is good enough."""
        return value <= self.must if self.is_ceiling else value >= self.must


GOALS = {
    Work.DRAIN: Goal(25_000, 40_000),
    Work.DRAIN_TWICE: Goal(30_000, 50_000),
    Work.ADD: Goal(3_000, 3_800),
    Work.ADD_MANY: Goal(70_000, 100_000),
    Work.LATENCY_P50: Goal(1.5, 1.0, is_ceiling=True),
    Work.LATENCY_P99: Goal(5.0, is_ceiling=True),
    Work.IDLE_CPU: Goal(0.5, is_ceiling=True),
    Work.IDLE_TRANSACTIONS: Goal(1.5, is_ceiling=True),
    Work.MEMORY: Goal(60.0, is_ceiling=True),
}


class Bare(StrEnum):
    """The same work without the engine."""

    TURNS = "pop(1000) and finish in turn, one thread"
    BOTH = "pop(1000) in one thread, finish in another"
    INSERT = "psycopg's INSERT, autocommit"
    COPY = "psycopg's COPY, 10,000 rows each"
    PGBENCH = "pgbench's INSERT, prepared, one client"


BASES = (
    (Work.DRAIN, Bare.TURNS),
    (Work.DRAIN, Bare.BOTH),
    (Work.DRAIN_TWICE, Bare.BOTH),
    (Work.ADD, Bare.INSERT),
    (Work.ADD, Bare.PGBENCH),
    (Work.ADD_MANY, Bare.COPY),
)
"""What each figure of the engine is compared with."""
