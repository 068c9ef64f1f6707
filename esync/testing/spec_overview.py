"""The overview: names, workers, counts per minute."""

from __future__ import annotations

from esync.driver import MinuteCount
from esync.snapshot import Count
from esync.task import TaskState
from esync.testing.harness import NAME, OTHER, Harness, Worker, add, name_row, request


class OverviewSpecification:
    """What the console polls."""

    def test_an_empty_queue_has_an_empty_overview(self, harness: Harness) -> None:
        overview = harness.driver.get_overview()
        assert (overview.names, overview.workers) == ((), ())
        assert overview.at.tzinfo is not None

    def test_a_name_counts_its_tasks_by_state(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        for state in (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED, TaskState.RETRY):
            add(harness.driver, state)
            worker.finish(worker.claim(), state, delay=3600)
        add(harness.driver, "running")
        worker.claim()
        harness.driver.add_many(request(f"ready{i}") for i in range(3))
        harness.driver.add_many(request(f"later{i}", after=60.0) for i in range(2))
        row = name_row(harness.driver)
        assert (row.ready, row.scheduled, row.running) == (Count(3), Count(2), 1)
        assert (row.retry.value, row.failed.value) == (1, 1)

    def test_names_are_counted_apart(self, harness: Harness) -> None:
        add(harness.driver, name=NAME)
        harness.driver.add_many(request(f"k{i}", name=OTHER) for i in range(2))
        assert name_row(harness.driver, NAME).ready == Count(1)
        assert name_row(harness.driver, OTHER).ready == Count(2)

    def test_the_oldest_due_task_tells_how_long_it_waits(self, harness: Harness) -> None:
        Worker(harness.driver)
        assert name_row(harness.driver).oldest_seconds is None
        add(harness.driver, "old")
        add(harness.driver, "later", after=3600.0)
        harness.let_pass(100)
        oldest = name_row(harness.driver).oldest_seconds
        assert oldest is not None
        assert 100 <= oldest < 160

    def test_a_name_without_a_worker_is_not_known(self, harness: Harness) -> None:
        add(harness.driver)
        row = name_row(harness.driver)
        assert (row.is_known, row.workers, row.slots) == (False, 0, 0)

    def test_a_registered_name_is_known_without_tasks(self, harness: Harness) -> None:
        Worker(harness.driver, slots=3)
        Worker(harness.driver, slots=4)
        row = name_row(harness.driver)
        assert (row.is_known, row.workers, row.slots) == (True, 2, 7)

    def test_a_name_stays_known_when_its_workers_leave(self, harness: Harness) -> None:
        add(harness.driver)
        harness.driver.leave(Worker(harness.driver).id)
        row = name_row(harness.driver)
        assert (row.is_known, row.workers, row.slots) == (True, 0, 0)

    def test_the_last_message_is_that_of_the_newest_attempt(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        for key, state in (("a", TaskState.FAILED), ("b", TaskState.DONE)):
            add(harness.driver, key)
            worker.finish(worker.claim(), state, message=f"said by {key}")
            harness.let_pass(10)
        row = name_row(harness.driver)
        assert row.last is not None
        assert (row.last.state, row.last.key, row.last.message) == ("DONE", "b", "said by b")
        assert 10 <= row.last.seconds < 60
        assert row.last_failed is not None
        assert (row.last_failed.key, row.last_failed.message) == ("a", "said by a")

    def test_an_attempt_that_is_to_be_repeated_has_the_last_message_too(
        self, harness: Harness
    ) -> None:
        worker = Worker(harness.driver)
        add(harness.driver, key="a")
        worker.finish(worker.claim(), message="well")
        harness.let_pass(10)
        add(harness.driver, key="b")
        worker.retry(worker.claim(), delay=60, message="busy")
        last = name_row(harness.driver).last
        assert last is not None
        assert (last.state, last.key, last.message) == ("RETRY", "b", "busy")

    def test_a_name_without_attempts_has_no_last_message(self, harness: Harness) -> None:
        add(harness.driver)
        row = name_row(harness.driver)
        assert (row.last, row.last_failed) == (None, None)

    def test_counts_of_the_current_minute_add_up(self, harness: Harness) -> None:
        one, two = Worker(harness.driver), Worker(harness.driver)
        for worker in (one, two):
            harness.driver.count(
                [_count(NAME, done=3, run_seconds=6.0), _count(OTHER, failed=2, retried=1)],
                worker_id=worker.id,
            )
        names = {row.name: row for row in harness.driver.get_overview(minutes=5).names}
        assert len(names[NAME].done) == 5
        assert sum(names[NAME].done) == 6
        assert names[NAME].average_seconds == 2.0
        add(harness.driver, name=OTHER)
        assert sum(name_row(harness.driver, OTHER).failed_attempts) == 6

    def test_the_current_minute_comes_last(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        harness.driver.count([_count(NAME, done=1)], worker_id=worker.id)
        harness.let_pass(120)
        harness.driver.count([_count(NAME, done=5)], worker_id=worker.id)
        (row,) = harness.driver.get_overview(minutes=10).names
        assert (len(row.done), sum(row.done)) == (10, 6)
        # A minute may end between the two calls.
        assert 5 in row.done[-2:]
        assert row.done.index(5) - row.done.index(1) in (2, 3)

    def test_counts_beyond_the_minutes_asked_for_are_left_out(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        harness.driver.count([_count(NAME, done=1, run_seconds=1)], worker_id=worker.id)
        harness.let_pass(3600)
        row = name_row(harness.driver)
        assert set(row.done) == {0}
        assert row.average_seconds is None

    def test_a_worker_is_listed_with_what_it_told(self, harness: Harness) -> None:
        worker = Worker(harness.driver, NAME, OTHER, lease=30, slots=3)
        add(harness.driver)
        worker.claim()
        harness.let_pass(10)
        (row,) = harness.driver.list_workers()
        assert (row.worker_id, row.host, row.pid, row.slots) == (worker.id, "host", 7, 3)
        assert (sorted(row.names), row.running) == (sorted([NAME, OTHER]), 1)
        assert row.has_lease
        assert 10 <= row.heartbeat_seconds <= row.started_seconds + 1 < 60
        assert harness.driver.get_overview().workers[0].worker_id == worker.id

    def test_a_worker_whose_lease_ran_out_is_listed_until_its_rescue(
        self, harness: Harness
    ) -> None:
        Worker(harness.driver, lease=30)
        harness.let_pass(31)
        (row,) = harness.driver.list_workers()
        assert not row.has_lease
        assert name_row(harness.driver).workers == 0
        harness.driver.rescue(max_crashes=3)
        assert harness.driver.list_workers() == ()

    def test_a_leaving_worker_is_listed_as_such(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        add(harness.driver)
        worker.claim()
        harness.driver.leave(worker.id, is_running=True)
        (row,) = harness.driver.list_workers()
        assert row.is_leaving
        assert not row.has_lease


def _count(
    name: str, *, done: int = 0, failed: int = 0, retried: int = 0, run_seconds: float = 0.0
) -> MinuteCount:
    return MinuteCount(
        name=name,
        done=done,
        failed=failed,
        retried=retried,
        cancelled=0,
        superseded=0,
        run_seconds=run_seconds,
    )
