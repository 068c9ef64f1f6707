"""A server that crashes and connections that are cut, under a worker that is busy."""

from __future__ import annotations

import re
import signal
from collections import Counter

import fault_history as check
import pytest
from fix_wait import wait_until

from esync.task_manager import TaskManager

PATIENCE = 60
CUT = ("esync:pop:%", "esync:finish:%", "esync:beat:%", "esync:listen:%")


@pytest.fixture
def busy(scene, driver):
    """A worker with 300 tasks before it, and a producer that adds more."""
    data = {"seconds": 0.02}
    TaskManager(driver).add_tasks([("fault", f"t{number}", data) for number in range(300)])
    driver.close()  # what it was connected to may be gone soon
    worker, producer = scene.work("--log-level", "debug"), scene.produce(keys=20, rest=0.02)
    wait_for_more(scene, 20)
    return worker, producer


def wait_for_more(scene, count):
    """Wait until so many more attempts have begun."""
    aim = len(scene.history.attempts) + count
    wait_until(lambda: len(scene.history.attempts) >= aim, PATIENCE, what=f"{count} more attempts")


def settle(scene, worker, producer):
    """End the producer, wait for the end of all tasks, and hold the history against the table."""
    producer.signal(signal.SIGTERM)
    assert producer.wait() == 0, producer.stderr
    rows = scene.wait_for_end(PATIENCE)
    history = scene.history
    assert worker.is_running, worker.stderr
    assert {one.pid for one in history.attempts} == {worker.pid}
    assert {add.task for add in history.adds} <= rows.keys()
    assert check.overlaps(history.attempts) == []
    assert check.older_after_newer(history) == []
    assert check.unanswered(history) == []
    assert check.unsettled(rows) == []
    assert len([row for row in rows.values() if row.key.startswith("t")]) == 300
    wait_until(lambda: is_back(worker), PATIENCE, what="the end of all outages in the log")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert "Traceback" not in worker.stderr


def outages(worker):
    """How often each part of a worker said that the database is away, and that it is back."""
    away = re.findall(r" WARNING \S+ (\w+): .*; trying again$", worker.stderr, re.MULTILINE)
    back = re.findall(r" INFO \S+ (\w+): the database is back$", worker.stderr, re.MULTILINE)
    return Counter(away), Counter(back)


def is_back(worker):
    """Whether every part of a worker that said away said back as often."""
    away, back = outages(worker)
    return away == back


def test_a_server_that_crashes_twice_costs_no_task(scene, busy, cluster):
    worker, producer = busy
    for _ in range(2):
        cluster.restart("immediate")
        wait_for_more(scene, 50)
    settle(scene, worker, producer)
    away, _ = outages(worker)
    assert away["popper"]
    # One line a part and outage, however often it tried again.
    assert max(away.values()) <= 2


@pytest.mark.parametrize("purpose", CUT)
def test_a_connection_that_is_cut_costs_no_task(scene, busy, cluster, purpose):
    worker, producer = busy
    name = cluster.database_of(scene.dsn)
    wait_until(lambda: cluster.terminate(purpose, database=name), PATIENCE, what=f"a {purpose}")
    wait_for_more(scene, 30)
    settle(scene, worker, producer)
    away, _ = outages(worker)
    assert max(away.values(), default=0) <= 1


def test_a_worker_says_that_the_database_is_back_only_once_it_is(scene, busy, cluster):
    worker, producer = busy
    cluster.stop("immediate")
    try:
        # Its lease ends meanwhile: nobody pops, and nobody has heard of the database.
        wait_until(
            lambda: worker.stderr.count("DEBUG esync.engine: presence: database away") >= 5,
            PATIENCE,
            what="5 more tries to register",
        )
        told = worker.stderr
    finally:
        cluster.start()
    assert "the database is back" not in told
    settle(scene, worker, producer)
