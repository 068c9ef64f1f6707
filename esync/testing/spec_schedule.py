"""Scheduled actions: one run per interval in the whole cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esync.driver import STREAM_REST_SECONDS
from esync.testing.harness import Harness, Worker
from esync.testing.spec_exclusion import run_together

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERVAL = 60.0


class ScheduleSpecification:
    """begin_action and end_action."""

    def test_the_first_run_is_due_one_interval_after_the_action_was_first_seen(
        self, harness: Harness
    ) -> None:
        worker = Worker(harness.driver)
        wait = _begin(harness, worker)
        assert wait is not None
        assert INTERVAL - 10 < wait <= INTERVAL
        harness.let_pass(INTERVAL / 2)
        wait = _begin(harness, worker)
        assert wait is not None
        assert 0 < wait <= INTERVAL / 2
        harness.let_pass(INTERVAL / 2 + 1)
        assert _begin(harness, worker) is None

    def test_one_worker_of_the_cluster_runs_it(self, harness: Harness) -> None:
        workers = _ready(harness, 4)
        began: list[Worker] = []

        def begin(worker: Worker) -> None:
            began.extend(worker for _ in range(5) if _begin(harness, worker) is None)

        run_together(begin, list(workers))
        assert len(began) == 1

    def test_it_does_not_start_while_it_runs(self, harness: Harness) -> None:
        one, two = _ready(harness, 2)
        assert _begin(harness, one) is None
        harness.let_pass(3 * INTERVAL)
        wait = _begin(harness, two)
        assert wait is not None
        assert wait > 0

    def test_the_interval_lies_between_two_starts(self, harness: Harness) -> None:
        (worker,) = _ready(harness, 1)
        _begin(harness, worker)
        harness.let_pass(INTERVAL - 10)
        harness.driver.end_action("A", worker_id=worker.id, error=None)
        wait = _begin(harness, worker)
        assert wait is not None
        assert 0 < wait <= 10
        harness.let_pass(11)
        assert _begin(harness, worker) is None

    def test_runs_that_were_missed_merge_into_one(self, harness: Harness) -> None:
        (worker,) = _ready(harness, 1)
        harness.let_pass(10 * INTERVAL)
        assert _begin(harness, worker) is None
        harness.driver.end_action("A", worker_id=worker.id, error=None)
        assert _begin(harness, worker) is not None

    def test_what_is_late_at_its_end_leaves_its_stream_to_the_others_for_a_rest(
        self, harness: Harness
    ) -> None:
        (worker,) = _ready(harness, 1)
        assert _begin(harness, worker, stream="S") is None
        harness.let_pass(INTERVAL + 1)
        harness.driver.end_action("A", worker_id=worker.id, error=None)
        wait = _begin(harness, worker, stream="S")
        assert wait is not None
        assert 0 < wait <= STREAM_REST_SECONDS
        harness.let_pass(STREAM_REST_SECONDS)
        assert _begin(harness, worker, stream="S") is None

    def test_a_run_that_failed_is_followed_by_the_next(self, harness: Harness) -> None:
        (worker,) = _ready(harness, 1)
        _begin(harness, worker)
        harness.driver.end_action("A", worker_id=worker.id, error="it broke")
        harness.let_pass(INTERVAL + 1)
        assert _begin(harness, worker) is None

    def test_only_the_worker_that_runs_it_can_end_it(self, harness: Harness) -> None:
        one, two = _ready(harness, 2)
        _begin(harness, one)
        harness.driver.end_action("A", worker_id=two.id, error=None)
        harness.let_pass(INTERVAL + 1)
        assert _begin(harness, two) is not None

    def test_ending_what_never_began_is_legal(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        harness.driver.end_action("A", worker_id=worker.id, error=None)
        assert _begin(harness, worker) is not None

    def test_the_action_of_a_lost_worker_runs_elsewhere(self, harness: Harness) -> None:
        lost = Worker(harness.driver, lease=2 * INTERVAL)
        other = Worker(harness.driver)
        _begin(harness, lost)
        harness.let_pass(INTERVAL + 1)
        assert _begin(harness, lost) is None
        harness.let_pass(2 * INTERVAL + 1)
        harness.driver.rescue(max_crashes=3)
        assert _begin(harness, other) is None

    def test_two_actions_do_not_hinder_each_other(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        for name in ("A", "B"):
            _begin(harness, worker, name=name)
        harness.let_pass(INTERVAL + 1)
        assert _begin(harness, worker, name="A") is None
        assert _begin(harness, worker, name="B") is None


def _begin(
    harness: Harness, worker: Worker, *, name: str = "A", stream: str | None = None
) -> float | None:
    return harness.driver.begin_action(name, worker_id=worker.id, interval=INTERVAL, stream=stream)


def _ready(harness: Harness, count: int) -> Sequence[Worker]:
    """Return workers that all find the action due."""
    workers = [Worker(harness.driver) for _ in range(count)]
    _begin(harness, workers[0])
    harness.let_pass(INTERVAL + 1)
    return workers
