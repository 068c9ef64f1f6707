"""What operators see of a queue whose dead rows an old snapshot keeps.

Every partial index that tasks have left is full of their entries then, and finding nothing in it
takes long: a second after a million tasks. Here there are fewer, and less time.
"""

from __future__ import annotations

from contextlib import contextmanager

import psycopg
import pytest

from esync.driver import MinuteCount
from esync.errors import DriverUnavailableError
from esync.operations import Operations
from esync.postgres import console, listing, overview, reading
from esync.postgres.driver import PostgresDriver
from esync.postgres.patience import Patience
from esync.snapshot import Attribution, Count, Filter, Precision
from esync.task import TaskState
from esync.testing.harness import Worker, add, name_row

NAME, LEFT = "SPEC", "LEFT"
BY = Attribution(who="ada", host="desk", via="cli", reason="because")
UNREAD = Count(0, Precision.UNREAD)

TASKS = 40_000
ADD = (
    "INSERT INTO message_queue (task_name, task_key)"
    f" SELECT 'SPEC', 'k' || n FROM generate_series(1, {TASKS}) AS n"
)
PERFORM = (
    "UPDATE message_queue SET state = 'IN PROGRESS'",
    "UPDATE message_queue SET state = 'DONE', last_attempt_message = 'performed'",
)


@pytest.fixture(scope="module")
def dsn(cluster, migrated_template):
    """A database in which many tasks were performed under a snapshot that is still held."""
    name = cluster.create_database(template=migrated_template)
    with (
        psycopg.connect(cluster.dsn(name)) as old,
        psycopg.connect(cluster.dsn(name), autocommit=True) as conn,
    ):
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("SELECT FROM message_queue")
        for statement in (ADD, *PERFORM):
            conn.execute(statement)
        yield cluster.dsn(name)
    cluster.drop_database(name)


@pytest.fixture
def clock():
    """The time that the driver's patience sees, in a list of one."""
    return [0.0]


@pytest.fixture
def driver(dsn, clock):
    """A driver whose queue has one live worker."""
    driver = PostgresDriver(dsn)
    driver._patience = Patience(clock=lambda: clock[0])
    worker = Worker(driver, NAME)
    yield driver
    driver.leave(worker.id)
    driver.resume([NAME], by=BY)
    driver.close()


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """Let what meets the dead rows exceed its time, as a million of them would."""
    monkeypatch.setattr(overview, "OLD_TRANSACTION_SECONDS", 0.0)
    monkeypatch.setattr(overview, "WHOLE_SECONDS", 0.004)
    monkeypatch.setattr(overview, "_ENDED_SECONDS", 60.0)
    monkeypatch.setattr(reading, "_NAMES_SECONDS", 0.004)
    monkeypatch.setattr(listing, "_STRETCH_SECONDS", 0.002)
    monkeypatch.setattr(console, "_COUNT_SECONDS", 0.002)


@pytest.fixture
def have_time(monkeypatch):
    """Give all the time that the dead rows take."""

    @contextmanager
    def have_time():
        with monkeypatch.context() as patient:
            patient.setattr(overview, "WHOLE_SECONDS", 60.0)
            yield

    return have_time


def test_an_overview_tells_what_is_cheap(driver):
    driver.pause([NAME], by=BY)
    driver.count([MinuteCount(NAME, 7, 0, 0, 0, 0, 1.0)], worker_id=_worker(driver).worker_id)
    picture = driver.get_overview()
    row = name_row(driver)
    assert picture.is_partial
    assert picture.oldest_transaction_seconds > 0
    assert [worker.has_lease for worker in picture.workers] == [True]
    assert (row.is_known, row.workers, row.pause.reason) == (True, 1, "because")
    assert sum(row.done) >= 7
    assert (row.last.state, row.last.message) == (TaskState.DONE, "performed")


def test_what_was_not_read_looks_unread(driver):
    row = name_row(driver)
    assert (row.ready, row.scheduled, row.retry, row.failed) == (UNREAD,) * 4
    assert row.is_unread
    assert _worker(driver).running is None


def test_names_of_an_earlier_overview_are_still_told(driver, have_time):
    add(driver, name=LEFT)
    with have_time():
        assert name_row(driver, LEFT).ready == Count(1)
    assert driver.get_overview().is_partial
    assert name_row(driver, LEFT).ready == UNREAD


def test_the_whole_is_tried_again_after_a_minute(driver, clock, have_time):
    assert driver.get_overview().is_partial
    with have_time():
        clock[0] = 59.0
        assert driver.get_overview().is_partial
        clock[0] = 60.0
        assert not driver.get_overview().is_partial
        assert (name_row(driver).ready, _worker(driver).running) == (Count(0), 0)


def test_the_connection_goes_on_with_its_own_time_limit(driver):
    before = _session(driver)
    assert driver.get_overview().is_partial
    assert _session(driver) == before
    assert before[1] == "750ms"


def test_workers_are_listed_without_what_runs_on_them(driver, have_time, clock):
    (row,) = driver.list_workers()
    assert (row.names, row.running) == ((NAME,), None)
    clock[0] = 60.0
    with have_time():
        assert driver.list_workers()[0].running == 0


def test_a_list_says_what_it_did_not_reach(driver):
    page = driver.list_tasks(Filter(), limit=5)
    assert page.unread == ("IN PROGRESS", "READY, RETRY", "names without a runner")
    assert [row.state for row in page.rows] == [TaskState.DONE] * 5
    following = driver.list_tasks(Filter(names=(NAME,)), limit=5, after=page.next)
    assert (len(following.rows), following.unread) == (5, ())


def test_a_count_that_takes_too_long_is_unread(driver):
    assert driver.count_tasks(Filter(names=(NAME,), states=(TaskState.READY,))) == UNREAD


def test_no_action_is_taken_on_a_part_of_what_matches(driver):
    operations = Operations(driver, who="ada", host="desk", via="cli")
    with pytest.raises(DriverUnavailableError, match="READY, RETRY: took too long"):
        operations.select(Filter(names=(NAME,)), maximum=10)


def _worker(driver):
    (row,) = driver.get_overview().workers
    return row


def _session(driver):
    with driver._lane("look").connection() as conn:
        return conn.execute(
            "SELECT pg_backend_pid(), current_setting('statement_timeout')"
        ).fetchone()


def test_what_follows_a_read_in_time_has_time_again(driver):
    with driver._reading() as read:
        read.within(0.05, lambda: read.rows("list_workers"))
        read.rows("list_workers")
        ((limit,),) = read._conn.execute("SELECT current_setting('statement_timeout')").fetchall()
    assert limit.endswith("ms")
    assert int(limit.removesuffix("ms")) > 500
