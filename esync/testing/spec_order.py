"""Order: by priority, then due time, then arrival."""

from __future__ import annotations

from esync.task import TaskState
from esync.testing.harness import Harness, Worker, add


class OrderSpecification:
    """P7."""

    def test_tasks_of_one_moment_run_in_order_of_arrival(self, harness: Harness) -> None:
        keys = [f"k{i}" for i in (3, 1, 2)]
        for key in keys:
            add(harness.driver, key)
        assert _keys(Worker(harness.driver)) == keys

    def test_due_time_goes_before_arrival(self, harness: Harness) -> None:
        add(harness.driver, "second", after=20.0)
        add(harness.driver, "first", after=10.0)
        worker = Worker(harness.driver)
        harness.let_pass(60)
        assert _keys(worker) == ["first", "second"]

    def test_priority_goes_before_due_time(self, harness: Harness) -> None:
        add(harness.driver, "last", priority=9)
        add(harness.driver, "middle")
        add(harness.driver, "first", priority=0)
        assert _keys(Worker(harness.driver)) == ["first", "middle", "last"]

    def test_a_task_that_is_not_due_holds_up_none_of_lower_priority(self, harness: Harness) -> None:
        add(harness.driver, "first", priority=0, after=60.0)
        add(harness.driver, "last", priority=9)
        assert _keys(Worker(harness.driver)) == ["last"]

    def test_the_order_holds_across_pops(self, harness: Harness) -> None:
        for i in range(12):
            add(harness.driver, f"k{i}", priority=9 - i % 4)
        worker = Worker(harness.driver)
        keys = [claim.key for _ in range(12) for claim in worker.pop(count=1).claims]
        assert keys == [f"k{i}" for rest in (3, 2, 1, 0) for i in range(rest, 12, 4)]

    def test_a_pop_may_begin_where_the_last_one_got_to(self, harness: Harness) -> None:
        for i in range(6):
            add(harness.driver, f"k{i}", priority=i % 2)
        worker = Worker(harness.driver)
        first = worker.pop(count=4)
        assert [claim.key for claim in first.claims] == ["k0", "k2", "k4", "k1"]
        second = worker.pop(count=4, after=first.place)
        assert [claim.key for claim in second.claims] == ["k3", "k5"]
        add(harness.driver, "k6")
        assert [claim.key for claim in worker.pop(after=second.place).claims] == ["k6"]

    def test_what_comes_before_the_place_is_found_without_it(self, harness: Harness) -> None:
        for i in range(4):
            add(harness.driver, f"k{i}", after=10.0)
        harness.let_pass(60)
        worker = Worker(harness.driver)
        place = worker.pop(count=2).place
        add(harness.driver, "urgent", priority=0)
        assert [claim.key for claim in worker.pop(count=1, after=place).claims] == ["urgent"]
        assert [claim.key for claim in worker.pop(count=1).claims] == ["k2"]

    def test_a_pop_that_left_something_tells_no_place(self, harness: Harness) -> None:
        for i in range(4):
            add(harness.driver, f"k{i}")
        worker = Worker(harness.driver)
        assert worker.pop(count=3, limit=1).place is None
        add(harness.driver, "k0")
        assert worker.pop(count=4).place is None

    def test_a_keys_place_is_that_of_its_best_placed_due_request(self, harness: Harness) -> None:
        add(harness.driver, "hot", priority=0)
        add(harness.driver, "cold")
        newest = add(harness.driver, "hot", priority=9)
        claims = Worker(harness.driver).take()
        assert [claim.key for claim in claims] == ["hot", "cold"]
        assert claims[0].task_id == newest

    def test_a_busy_key_keeps_the_place_of_its_oldest_request(self, harness: Harness) -> None:
        add(harness.driver, "hot")
        add(harness.driver, "cold")
        harness.let_pass(5)
        add(harness.driver, "hot")
        assert _keys(Worker(harness.driver)) == ["hot", "cold"]

    def test_a_request_that_is_not_due_gives_its_key_no_place(self, harness: Harness) -> None:
        add(harness.driver, "hot", priority=0, after=60.0)
        add(harness.driver, "cold")
        add(harness.driver, "hot")
        assert _keys(Worker(harness.driver)) == ["cold", "hot"]

    def test_a_retry_takes_its_place_by_its_next_due_time(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        add(harness.driver, "retry")
        worker.finish(worker.claim(), TaskState.RETRY, delay=30)
        add(harness.driver, "fresh")
        harness.let_pass(60)
        assert _keys(worker) == ["fresh", "retry"]


def _keys(worker: Worker) -> list[str]:
    return [claim.key for claim in worker.take()]
