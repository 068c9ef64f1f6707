"""Adding tasks: all checked first, all or none stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from esync.errors import SettingError, TaskValueError
from esync.memory import MemoryDriver
from esync.snapshot import Filter
from esync.task_manager import TaskManager


@pytest.fixture
def driver():
    return MemoryDriver()


@pytest.fixture
def manager(driver):
    return TaskManager(driver, created_by="tests")


def test_add_task_returns_the_id_of_what_is_stored(driver, manager):
    task_id = manager.add_task("customer.sync", "42", {"a": [1]}, priority=0)
    detail = driver.get_task(task_id)
    assert (detail.row.name, detail.row.key, detail.row.priority) == ("customer.sync", "42", 0)
    assert (detail.raw_data, detail.row.created_by) == ('{"a":[1]}', "tests")


def test_after_is_when_it_becomes_due(driver, manager):
    moment = datetime(2040, 1, 1, tzinfo=UTC)
    assert driver.get_task(manager.add_task("a", "1", after=moment)).row.do_after == moment
    row = driver.get_task(manager.add_task("a", "2", after=timedelta(hours=1))).row
    assert row.do_after - row.created_at == timedelta(hours=1)


def test_add_tasks_takes_every_kind_of_request_in_order(driver, manager):
    requests = [("a", "1"), ("a", "1", {"x": 1}), manager.new_task("a", "1", {"x": 2})]
    assert manager.add_tasks(request for request in requests) == 3
    newest_first = [driver.get_task(row.task_id).raw_data for row in driver.find_tasks("1")]
    assert newest_first == ['{"x":2}', '{"x":1}', "{}"]


def test_no_tasks_are_none(manager):
    assert manager.add_tasks([]) == 0


@pytest.mark.parametrize(
    "bad", [("a", ""), ("a", "1", {"x": {1}}), ("a",), ("a", "1", {}, 5), "ab", None, ("a", 1)]
)
def test_one_bad_request_stores_none_and_is_named(driver, manager, bad):
    with pytest.raises(TaskValueError, match="task 1: "):
        manager.add_tasks([("a", "1"), bad, ("a", "2")])
    assert not driver.list_tasks(Filter(), limit=10).rows


@pytest.mark.parametrize(
    "options", [{"after": -1}, {"priority": 10}, {"data": []}, {"data": {"x": float("nan")}}]
)
def test_a_bad_option_stores_nothing(driver, manager, options):
    with pytest.raises(TaskValueError):
        manager.add_task("a", "1", **options)
    assert not driver.list_tasks(Filter(), limit=10).rows


def test_the_data_limit_is_a_setting(driver):
    manager = TaskManager(driver, data_limit_bytes=10)
    manager.add_task("a", "1", {"x": 1234})
    with pytest.raises(TaskValueError, match="at most 10 bytes"):
        manager.add_task("a", "1", {"x": 12345678})
    for limit in (0, -1, 10**9):
        with pytest.raises(SettingError):
            TaskManager(driver, data_limit_bytes=limit)


def test_a_bad_created_by_is_refused_at_once(driver):
    with pytest.raises(TaskValueError, match="created_by must"):
        TaskManager(driver, created_by="x" * 65)


def test_within_keeps_the_settings(driver):
    manager = TaskManager(driver, created_by="tests", data_limit_bytes=10).within(None)
    assert driver.get_task(manager.add_task("a", "1")).row.created_by == "tests"
    with pytest.raises(TaskValueError):
        manager.add_task("a", "1", {"x": 12345678})


def test_the_count_is_of_what_is_not_finished(manager):
    manager.add_tasks([("a", "1"), ("a", "2"), ("b", "1")])
    assert (manager.get_task_count("a"), manager.get_task_count()) == (2, 3)
