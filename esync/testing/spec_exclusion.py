"""Exclusion: one attempt per key at a time, and no task in two hands."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from esync.testing.harness import Harness, Worker, add, request, state_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from esync.task import Claim


class ExclusionSpecification:
    """P4, and what a pop says about what it left."""

    def test_a_key_runs_once_at_a_time_in_the_whole_cluster(self, harness: Harness) -> None:
        add(harness.driver)
        Worker(harness.driver).claim()
        add(harness.driver)
        popped = Worker(harness.driver).pop()
        assert popped.claims == ()
        assert popped.blocked == ("k",)

    def test_a_key_is_free_again_however_its_attempt_ended(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        endings: list[Callable[[Claim], object]] = [
            worker.finish,
            worker.fail,
            worker.retry,
            worker.release,
        ]
        for end in endings:
            add(harness.driver)
            end(worker.claim())
        assert worker.claim().key == "k"

    def test_two_workers_pop_different_tasks(self, harness: Harness) -> None:
        harness.driver.add_many(request(f"k{i}") for i in range(6))
        one, two = Worker(harness.driver), Worker(harness.driver)
        keys = [claim.key for worker in (one, two) for claim in worker.take(count=3)]
        assert sorted(keys) == [f"k{i}" for i in range(6)]

    def test_a_running_task_is_not_popped_again(self, harness: Harness) -> None:
        add(harness.driver)
        worker = Worker(harness.driver)
        worker.claim()
        assert worker.pop().claims == ()

    def test_pop_claims_no_more_than_it_was_asked_for(self, harness: Harness) -> None:
        harness.driver.add_many(request(f"k{i}") for i in range(6))
        popped = Worker(harness.driver).pop(count=4)
        assert len(popped.claims) == 4
        assert not popped.is_exhausted

    def test_pop_says_when_no_due_task_was_left(self, harness: Harness) -> None:
        harness.driver.add_many(request(f"k{i}") for i in range(3))
        add(harness.driver, "later", after=60.0)
        popped = Worker(harness.driver).pop(count=10)
        assert len(popped.claims) == 3
        assert popped.is_exhausted

    def test_an_empty_queue_is_exhausted(self, harness: Harness) -> None:
        popped = Worker(harness.driver).pop()
        assert (popped.claims, popped.superseded, popped.is_exhausted) == ((), 0, True)

    def test_keys_to_skip_are_left_out(self, harness: Harness) -> None:
        skipped = add(harness.driver, "a")
        add(harness.driver, "b")
        popped = Worker(harness.driver).pop(skip_keys=["a", "no such key"])
        assert [claim.key for claim in popped.claims] == ["b"]
        assert state_of(harness.driver, skipped) == "READY"

    def test_blocked_keys_do_not_hide_the_others(self, harness: Harness) -> None:
        hot = [f"hot{i}" for i in range(20)]
        worker = Worker(harness.driver)
        harness.driver.add_many(request(key) for key in hot)
        worker.take(count=20)
        harness.driver.add_many(request(key) for key in (*hot, "cold"))
        assert [claim.key for claim in worker.take(count=1)] == ["cold"]

    def test_pops_at_the_same_time_share_nothing(self, harness: Harness) -> None:
        # 40 keys, 5 requests each: every thread pops until nothing is left, finishing nothing.
        harness.driver.add_many(request(f"k{i % 40}") for i in range(200))
        claims: list[Claim] = []

        def pop_everything(worker: Worker) -> None:
            while taken := worker.take(count=3):
                claims.extend(taken)

        run_together(pop_everything, [Worker(harness.driver) for _ in range(4)])
        claims += Worker(harness.driver).take(count=200)
        assert Counter(claim.key for claim in claims) == {f"k{i}": 1 for i in range(40)}

    def test_additions_during_pops_are_neither_lost_nor_run_twice(self, harness: Harness) -> None:
        done: list[UUID] = []
        last: dict[str, UUID] = {}

        def produce_or_work(worker: Worker) -> None:
            if worker is producer:
                last.update({f"k{i % 4}": add(harness.driver, f"k{i % 4}") for i in range(60)})
                return
            for _ in range(30):
                done.extend(_perform(worker))

        producer, *others = (Worker(harness.driver) for _ in range(4))
        run_together(produce_or_work, [producer, *others])
        done += _perform(producer, count=10)
        assert len(done) == len(set(done))
        assert set(last.values()) <= set(done)
        assert harness.driver.get_task_count() == 0


def _perform(worker: Worker, *, count: int = 2) -> list[UUID]:
    """Pop and finish; return the tasks whose outcome was recorded."""
    return [claim.task_id for claim in worker.take(count=count) if worker.finish(claim)]


def run_together(do: Callable[[Worker], None], workers: list[Worker]) -> None:
    """Run something for each worker in a thread of its own; raise what any of them raised."""
    errors: list[BaseException] = []

    def run(worker: Worker) -> None:
        try:
            do(worker)
        except BaseException as exc:  # noqa: BLE001 - carried to the test's own thread
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]
