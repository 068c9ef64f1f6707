from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from esync.demo.chaos import POLITE
from esync.demo.reconcile import Reconcile
from esync.demo.record import Collection
from esync.task_manager import TaskManager

CUSTOMERS = Collection.CUSTOMERS


@pytest.fixture
def reconcile(source, driver, target):
    return Reconcile(source, target, task_manager=TaskManager(driver, created_by="erp"))


def end_all(database):
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE message_queue SET state = 'CANCELLED'")


def added(database):
    with psycopg.connect(database) as conn:
        return conn.execute(
            "SELECT task_name, task_key, data->>'customer' FROM message_queue"
            " WHERE state = 'READY' ORDER BY seq"
        ).fetchall()


def test_a_row_that_differs_twice_with_no_task_gets_one(source, reconcile, database):
    long_key = "x" * 70
    source.add_customers([("1", {}), (long_key, {})])
    end_all(database)
    reconcile.do()
    assert added(database) == []
    reconcile.do()
    assert [(name, key) for name, _, key in added(database)] == [
        ("customer.sync", "1"),
        ("customer.sync", long_key),
    ]
    assert reconcile.repaired == 2


def test_a_row_that_differs_in_another_way_each_time_is_left_alone(source, reconcile, database):
    source.write_customer("1", {})
    reconcile.do()
    source.write_customer("1", {})
    end_all(database)
    reconcile.do()
    assert reconcile.repaired == 0


def test_a_row_with_a_task_under_way_is_left_alone(source, reconcile):
    source.write_customer("1", {})
    reconcile.do()
    reconcile.do()
    assert reconcile.repaired == 0


def test_a_record_that_only_the_target_has_gets_a_task(source, target, reconcile, database):
    source.write_customer("1", {})
    target.put(CUSTOMERS, source.read(CUSTOMERS, "1"))
    source.delete_customer("1")
    end_all(database)
    reconcile.do()
    reconcile.do()
    assert [key for _, key, _ in added(database)] == ["1"]


def test_what_was_refused_for_good_is_left_alone(source, driver, run_target, database):
    source.write_customer("1", {})
    end_all(database)
    with run_target(replace(POLITE, refuse_share=1.0)) as target:
        target.put(CUSTOMERS, source.read(CUSTOMERS, "1"))
        manager = TaskManager(driver, created_by="erp")
        reconcile = Reconcile(source, target, task_manager=manager)
        reconcile.do()
        reconcile.do()
    assert reconcile.repaired == 0
