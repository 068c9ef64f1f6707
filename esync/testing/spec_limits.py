"""Limits and streams: counted from rows, exact in the whole cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esync.testing.harness import NAME, OTHER, Harness, Worker, add, request
from esync.testing.spec_exclusion import run_together

if TYPE_CHECKING:
    from esync.task import Claim

STREAM = "ledger"


class LimitsSpecification:
    """P6."""

    def test_a_limit_holds_in_the_whole_cluster(self, harness: Harness) -> None:
        harness.driver.add_many(request(f"k{i}") for i in range(9))
        one, two = Worker(harness.driver), Worker(harness.driver)
        assert len(one.take(count=2, limit=3)) == 2
        assert len(two.take(count=9, limit=3)) == 1
        assert one.take(limit=3) == []

    def test_a_pop_says_that_the_limit_held_it_back(self, harness: Harness) -> None:
        harness.driver.add_many(request(f"k{i}") for i in range(3))
        worker = Worker(harness.driver)
        assert worker.pop(limit=2).is_limited
        assert worker.pop(limit=2).is_limited

    def test_a_limit_that_held_nothing_back_is_not_mentioned(self, harness: Harness) -> None:
        harness.driver.add_many(request(f"k{i}") for i in range(3))
        worker = Worker(harness.driver)
        assert not worker.pop(count=2, limit=5).is_limited, "the count held it back"
        assert not worker.pop(limit=5).is_limited
        assert not worker.pop(limit=3).is_limited, "nothing is due"

    def test_a_finished_task_makes_room(self, harness: Harness) -> None:
        harness.driver.add_many(request(f"k{i}") for i in range(3))
        worker = Worker(harness.driver)
        (claim,) = worker.take(limit=1)
        worker.finish(claim)
        assert len(worker.take(limit=1)) == 1

    def test_a_key_asked_for_again_and_again_keeps_its_place_under_a_limit(
        self, harness: Harness
    ) -> None:
        worker = Worker(harness.driver)
        add(harness.driver, key="first")
        (claim,) = worker.take(limit=1)
        add(harness.driver, key="again")
        add(harness.driver, key="other")
        for _ in range(3):
            newest = add(harness.driver, key="again")
            assert worker.pop(limit=1).claims == ()
        worker.finish(claim)
        assert [claim.task_id for claim in worker.take(limit=1)] == [newest]

    def test_a_limit_counts_its_own_name_only(self, harness: Harness) -> None:
        worker = Worker(harness.driver, NAME, OTHER)
        add(harness.driver, name=NAME)
        add(harness.driver, name=OTHER)
        assert len(worker.take(NAME, limit=1)) == 1
        assert len(worker.take(OTHER, limit=1)) == 1

    def test_tasks_of_a_lost_worker_make_room_when_rescued(self, harness: Harness) -> None:
        harness.driver.add_many(request(f"k{i}") for i in range(4))
        Worker(harness.driver, lease=30).take(count=2, limit=2)
        worker = Worker(harness.driver)
        harness.let_pass(31)
        assert worker.take(limit=2) == []
        harness.driver.rescue(max_crashes=3)
        assert len(worker.take(limit=2)) == 2

    def test_pops_at_the_same_time_do_not_exceed_the_limit(self, harness: Harness) -> None:
        harness.driver.add_many(request(f"k{i}") for i in range(60))
        claims: list[Claim] = []

        def pop(worker: Worker) -> None:
            for _ in range(10):
                claims.extend(worker.pop(count=2, limit=5).claims)

        run_together(pop, [Worker(harness.driver) for _ in range(4)])
        assert len(claims) == 5

    def test_runners_of_a_stream_never_run_at_the_same_time(self, harness: Harness) -> None:
        worker = Worker(harness.driver, NAME, OTHER, stream=STREAM)
        add(harness.driver, name=NAME)
        add(harness.driver, name=OTHER)
        (claim,) = worker.take(NAME, stream=STREAM)
        held_back = worker.pop(OTHER, stream=STREAM)
        assert held_back.claims == ()
        assert held_back.is_limited
        worker.finish(claim)
        assert len(worker.take(OTHER, stream=STREAM)) == 1

    def test_a_stream_runs_one_task_at_a_time(self, harness: Harness) -> None:
        worker = Worker(harness.driver, stream=STREAM)
        harness.driver.add_many(request(f"k{i}") for i in range(3))
        assert len(worker.take(stream=STREAM)) == 1
        assert worker.take(stream=STREAM) == []

    def test_two_streams_do_not_hinder_each_other(self, harness: Harness) -> None:
        one = Worker(harness.driver, NAME, stream="one")
        two = Worker(harness.driver, OTHER, stream="two")
        add(harness.driver, name=NAME)
        add(harness.driver, name=OTHER)
        assert len(one.take(NAME, stream="one")) == 1
        assert len(two.take(OTHER, stream="two")) == 1

    def test_pops_at_the_same_time_keep_the_stream(self, harness: Harness) -> None:
        names = [f"N{i}" for i in range(4)]
        workers = {Worker(harness.driver, name, stream=STREAM): name for name in names}
        for name in names:
            harness.driver.add_many(request(f"k{i}", name=name) for i in range(5))
        claims: list[Claim] = []

        def pop(worker: Worker) -> None:
            for _ in range(5):
                claims.extend(worker.pop(workers[worker], stream=STREAM).claims)

        run_together(pop, list(workers))
        assert len(claims) == 1

    def test_a_stream_waits_for_its_scheduled_action(self, harness: Harness) -> None:
        worker = Worker(harness.driver, stream=STREAM)
        add(harness.driver)
        harness.driver.begin_action("A", worker_id=worker.id, interval=60, stream=STREAM)
        harness.let_pass(61)
        began = harness.driver.begin_action("A", worker_id=worker.id, interval=60, stream=STREAM)
        assert began is None
        assert worker.take(stream=STREAM) == []
        harness.driver.end_action("A", worker_id=worker.id, error=None)
        assert len(worker.take(stream=STREAM)) == 1

    def test_a_scheduled_action_waits_for_its_stream(self, harness: Harness) -> None:
        worker = Worker(harness.driver, stream=STREAM)
        driver = harness.driver
        for action in ("A", "B"):
            driver.begin_action(action, worker_id=worker.id, interval=60, stream=STREAM)
        add(driver)
        harness.let_pass(61)
        (claim,) = worker.take(stream=STREAM)
        assert driver.begin_action("A", worker_id=worker.id, interval=60, stream=STREAM)
        worker.finish(claim)
        assert driver.begin_action("A", worker_id=worker.id, interval=60, stream=STREAM) is None
        assert driver.begin_action("B", worker_id=worker.id, interval=60, stream=STREAM)
