"""Reading: lists, filters, counts and details, as operators see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esync.snapshot import DETAIL_DATA_LIMIT, Count, Filter, Precision
from esync.task import TaskState, new_task_id
from esync.testing.harness import (
    NAME,
    OTHER,
    Harness,
    Worker,
    add,
    detail_of,
    request,
    row_of,
)

if TYPE_CHECKING:
    from uuid import UUID

    from esync.snapshot import Cursor, TaskRow


class ReadingSpecification:
    """The reading half of the console side."""

    def test_the_schema_of_a_working_driver_fits(self, harness: Harness) -> None:
        harness.driver.check_schema()

    def test_a_list_goes_from_running_to_pending_to_finished(self, harness: Harness) -> None:
        _fill(harness)
        rows = harness.driver.list_tasks(Filter(), limit=100).rows
        assert [row.key for row in rows] == [
            "running",
            "first",
            "ready",
            "retry",
            "cancelled",
            "failed",
            "done",
        ]

    def test_pages_hold_every_task_once(self, harness: Harness) -> None:
        _fill(harness)
        harness.driver.add_many(request(f"more{i}") for i in range(6))
        whole = harness.driver.list_tasks(Filter(), limit=100)
        assert whole.next is None
        pages = _pages(harness, limit=2)
        assert [row for page in pages for row in page] == list(whole.rows)
        assert [len(page) for page in pages] == [2, 2, 2, 2, 2, 2, 1]

    def test_the_page_after_the_last_full_one_is_not_promised(self, harness: Harness) -> None:
        harness.driver.add_many(request(f"k{i}") for i in range(4))
        assert [len(page) for page in _pages(harness, limit=2)] in ([2, 2], [2, 2, 0])

    def test_filters_select_what_they_say(self, harness: Harness) -> None:
        ids = _fill(harness)
        add(harness.driver, "ready", name=OTHER)
        cases: tuple[tuple[Filter, list[str]], ...] = (
            (Filter(names=(OTHER,)), ["ready"]),
            (Filter(names=(NAME, OTHER), key="ready"), ["ready", "ready"]),
            (Filter(states=(TaskState.DONE, TaskState.FAILED)), ["done", "failed"]),
            (Filter(states=(TaskState.IN_PROGRESS,)), ["running"]),
            (Filter(key="re"), []),
            (Filter(key_prefix="re"), ["ready", "ready", "retry"]),
            (Filter(error="IT IS fail"), ["failed"]),
            (Filter(ids=(ids["done"], ids["ready"], new_task_id())), ["done", "ready"]),
            (Filter(key_prefix="re", states=(TaskState.RETRY,)), ["retry"]),
            (Filter(names=("NOBODY",)), []),
        )
        for where, keys in cases:
            rows = harness.driver.list_tasks(where, limit=100).rows
            assert sorted(row.key for row in rows) == keys, where
            assert harness.driver.count_tasks(where) == Count(len(keys)), where

    def test_wildcards_in_filters_are_literal(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        for key in ("100%", "100x", "a_b", "axb", "c\\d"):
            add(harness.driver, key)
            worker.fail(worker.claim(), message=f"error {key}")
        for text in ("100%", "a_b", "c\\d"):
            for where in (Filter(key_prefix=text), Filter(error=text)):
                rows = harness.driver.list_tasks(where, limit=100).rows
                assert [row.key for row in rows] == [text]

    def test_since_takes_the_last_attempt_or_else_the_creation(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        add(harness.driver, "attempted")
        add(harness.driver, "old", after=86400.0)
        harness.let_pass(600)
        worker.finish(worker.claim())
        add(harness.driver, "new", after=86400.0)
        rows = harness.driver.list_tasks(Filter(since=300), limit=100).rows
        assert {row.key for row in rows} == {"attempted", "new"}
        assert harness.driver.count_tasks(Filter(since=900)).value == 3

    def test_a_count_goes_no_further_than_its_cap(self, harness: Harness) -> None:
        harness.driver.add_many(request(f"k{i}") for i in range(12))
        assert harness.driver.count_tasks(Filter()) == Count(12, Precision.EXACT)
        assert harness.driver.count_tasks(Filter(), cap=5) == Count(5, Precision.CAPPED)

    def test_find_returns_every_request_of_a_key_newest_first(self, harness: Harness) -> None:
        ids = [add(harness.driver) for _ in range(3)]
        Worker(harness.driver).claim()
        ids.append(add(harness.driver, name=OTHER))
        add(harness.driver, "another key")
        found = harness.driver.find_tasks("k")
        assert [row.task_id for row in found] == ids[::-1]
        assert [row.task_id for row in harness.driver.find_tasks("k", name=NAME)] == ids[2::-1]
        assert len(harness.driver.find_tasks("k", limit=2)) == 2
        assert harness.driver.find_tasks("no such key") == ()

    def test_a_task_that_is_not_there_has_no_detail(self, harness: Harness) -> None:
        assert harness.driver.get_task(new_task_id()) is None

    def test_a_detail_holds_the_history_of_its_key(self, harness: Harness) -> None:
        ids = [add(harness.driver) for _ in range(3)]
        add(harness.driver, name=OTHER)
        for task_id in ids:
            history = detail_of(harness.driver, task_id).history
            assert [row.task_id for row in history] == ids[::-1]

    def test_a_history_holds_the_newest_fifty(self, harness: Harness) -> None:
        batch = [request() for _ in range(60)]
        harness.driver.add_many(batch)
        history = detail_of(harness.driver, batch[30].task_id).history
        assert [row.task_id for row in history] == [task.task_id for task in batch[:9:-1]]

    def test_a_long_message_is_cut_in_lists_and_whole_in_the_detail(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        task_id = add(harness.driver)
        message = "ä" * 4000
        worker.finish(worker.claim(), message=message)
        assert row_of(harness.driver, task_id).message == message[:300]
        assert detail_of(harness.driver, task_id).message == message

    def test_long_data_is_cut_in_the_detail(self, harness: Harness) -> None:
        task_id = add(harness.driver, data={"long": "x" * 100_000})
        cut = detail_of(harness.driver, task_id)
        assert len(cut.raw_data) == DETAIL_DATA_LIMIT < 100_000 < cut.data_length
        assert cut.is_data_cut
        for limit in (200_000, cut.data_length, None):
            whole = harness.driver.get_task(task_id, data_limit=limit)
            assert whole is not None
            assert len(whole.raw_data) == whole.data_length == cut.data_length
            assert not whole.is_data_cut
        for limit in (10, 90_000):
            part = harness.driver.get_task(task_id, data_limit=limit)
            assert part is not None
            assert (len(part.raw_data), part.is_data_cut) == (limit, True)

    def test_a_row_says_whether_its_key_has_a_newer_request(self, harness: Harness) -> None:
        worker = Worker(harness.driver)
        older = add(harness.driver)
        worker.finish(worker.claim())
        assert not row_of(harness.driver, older).has_newer
        newer = add(harness.driver)
        assert row_of(harness.driver, older).has_newer
        assert not row_of(harness.driver, newer).has_newer
        worker.fail(worker.claim())
        assert not row_of(harness.driver, older).has_newer

    def test_seq_grows_with_each_request(self, harness: Harness) -> None:
        ids = [add(harness.driver, f"k{i}") for i in range(5)]
        places = [row_of(harness.driver, task_id).seq for task_id in ids]
        assert places == sorted(set(places))

    def test_a_running_task_shows_its_worker(self, harness: Harness) -> None:
        task_id = add(harness.driver)
        assert row_of(harness.driver, task_id).worker == ""
        Worker(harness.driver).claim()
        row = row_of(harness.driver, task_id)
        assert row.worker == "host:7"
        assert row.last_attempted is not None


def _fill(harness: Harness) -> dict[str, UUID]:
    """Add a task in every state, each named after it, and return their ids."""
    driver, worker = harness.driver, Worker(harness.driver)
    ids = {}
    for state in (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED, TaskState.RETRY):
        key = state.lower()
        ids[key] = add(driver, key)
        worker.finish(worker.claim(), state, message=f"it is {key}", delay=3600)
    ids["running"] = add(driver, "running")
    worker.claim()
    ids["ready"] = add(driver, "ready")
    ids["first"] = add(driver, "first", priority=0)
    return ids


def _pages(harness: Harness, *, limit: int) -> list[tuple[TaskRow, ...]]:
    pages = []
    cursor: Cursor | None = None
    while True:
        page = harness.driver.list_tasks(Filter(), limit=limit, after=cursor)
        pages.append(page.rows)
        cursor = page.next
        if cursor is None:
            return pages
