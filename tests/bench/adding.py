"""How many tasks a second one client adds, one transaction each and in bulk."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from esync import PostgresDriver, TaskManager

if TYPE_CHECKING:
    from tests.bench.server import Server

NAME = "bench.0"
SINGLE_COUNT = 5_000
BULK_COUNT = 100_000
CALL_COUNT = 10_000
"""Requests in one call of `add_tasks`."""

WARM_COUNT = 20
"""Adds that are not counted: the connection opens, the statement is prepared."""


def payload(number: int) -> dict[str, int]:
    """Return the data that every measured request bears, here and in bare.py."""
    return {"i": number}


def add_singly(server: Server, *, count: int = SINGLE_COUNT) -> float:
    """Return the tasks added per second by one client, each durable before the next."""
    with server.queue() as dsn, closing(PostgresDriver(dsn)) as driver:
        server.settle(dsn)
        tasks = TaskManager(driver)
        for number in range(WARM_COUNT):
            tasks.add_task(NAME, f"warm{number}", payload(number))
        began = time.monotonic()
        for number in range(count):
            tasks.add_task(NAME, str(number), payload(number))
        return count / (time.monotonic() - began)


def add_in_bulk(server: Server, *, count: int = BULK_COUNT) -> float:
    """Return the tasks added per second in large calls, from requests in memory to committed."""
    requests = [(NAME, str(number), payload(number)) for number in range(count)]
    with server.queue() as dsn, closing(PostgresDriver(dsn)) as driver:
        server.settle(dsn)
        tasks = TaskManager(driver)
        for number in range(WARM_COUNT):
            tasks.add_task(NAME, f"warm{number}", payload(number))
        began = time.monotonic()
        for first in range(0, count, CALL_COUNT):
            tasks.add_tasks(requests[first : first + CALL_COUNT])
        return count / (time.monotonic() - began)
