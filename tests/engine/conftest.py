"""A worker of short times on a queue; every test runs on every driver unless it says why not."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import psycopg
import pytest
from fix_engine import Bench
from fix_wait import wait_until

from esync.memory import MemoryDriver
from esync.postgres.driver import PostgresDriver

COMPANIONS = ("runner", "worker", "schedule", "minute", "audit")
TABLES = ("message_queue", *(f"message_queue_{suffix}" for suffix in COMPANIONS))


@pytest.fixture(scope="session")
def engine_database(cluster, migrated_template):
    """One database for all of these tests: making a hundred would take longer than they do."""
    name = cluster.create_database(template=migrated_template)
    yield cluster.dsn(name)
    cluster.drop_database(name)


@pytest.fixture
def cleanup():
    """Whatever is to be closed, the newest first: workers before the driver they run on."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=["memory", "postgres"])
def driver(request, cleanup):
    """The driver under the engine, with an empty queue."""
    if request.param == "memory":
        return MemoryDriver()
    dsn = request.getfixturevalue("engine_database")
    driver = PostgresDriver(dsn)
    cleanup.callback(truncate, dsn)
    cleanup.callback(driver.close)
    return driver


@pytest.fixture
def memory():
    """A driver whose clock the test moves."""
    return MemoryDriver()


@pytest.fixture
def make_bench(cleanup):
    """Make benches; their workers are stopped in the end, and leave no thread behind."""
    before = set(threading.enumerate())

    def left():
        threads = set(threading.enumerate()) - before
        return [thread.name for thread in threads if thread.name.startswith("esync")]

    def make(driver, **settings):
        bench = Bench(driver, **settings)
        cleanup.callback(bench.close)
        return bench

    yield make
    cleanup.close()
    wait_until(lambda: not left(), 5, what="the end of every thread")


@pytest.fixture
def bench(make_bench, driver):
    """A worker that a test registers handlers with and starts."""
    return make_bench(driver)


def truncate(dsn):
    """Empty the queue, and forget workers, runners and actions."""
    with psycopg.connect(dsn) as conn:
        conn.execute(f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY")
