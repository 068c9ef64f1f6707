from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from esync.demo.chaos import POLITE
from esync.demo.handlers import Pusher, PushInvoice, UpdateCustomer, check
from esync.demo.record import Collection, to_task_key
from esync.demo.target_client import Answer
from esync.errors import Fail, Retry
from esync.task_manager import TaskManager

CUSTOMERS = Collection.CUSTOMERS
LONG_KEY = "long " * 20


def task(key, **data):
    return SimpleNamespace(key=key, data=data)


def test_the_current_row_is_sent_whatever_the_task_knew(source, target):
    source.write_customer("1", {"name": "old"})
    source.write_customer("1", {"name": "new"})
    UpdateCustomer(Pusher(source, target)).do(task("1", customer="1", change="INSERT"))
    assert list(target.scan(CUSTOMERS)) == [source.read(CUSTOMERS, "1")]


def test_a_row_that_is_gone_is_deleted(source, target):
    handler = UpdateCustomer(Pusher(source, target))
    source.write_customer("1", {})
    handler.do(task("1", customer="1"))
    source.delete_customer("1")
    assert handler.do(task("1", customer="1")) == "deleted"
    assert list(target.scan(CUSTOMERS)) == []


def test_a_row_that_never_was_is_done(source, target):
    assert UpdateCustomer(Pusher(source, target)).do(task("1")) == "was not there"


def test_a_task_added_by_hand_needs_no_data(source, target):
    source.write_customer("1", {})
    UpdateCustomer(Pusher(source, target)).do(task("1"))
    assert [record.key for record in target.scan(CUSTOMERS)] == ["1"]


def test_a_key_too_long_for_a_task_is_taken_from_its_data(source, target):
    source.write_customer(LONG_KEY, {})
    UpdateCustomer(Pusher(source, target)).do(task(to_task_key(LONG_KEY), customer=LONG_KEY))
    assert [record.key for record in target.scan(CUSTOMERS)] == [LONG_KEY]


def test_a_refused_record_fails_for_good(source, run_target):
    source.write_customer("1", {})
    with (
        run_target(replace(POLITE, refuse_share=1.0)) as target,
        pytest.raises(Fail, match="422 this customer fails our credit check"),
    ):
        UpdateCustomer(Pusher(source, target)).do(task("1"))


def test_an_invoice_is_pushed_by_a_coroutine(source, driver, target):
    manager = TaskManager(driver, created_by="erp")
    source.add_invoice("INV-1", {"amount_cents": 5}, task_manager=manager)
    asyncio.run(PushInvoice(Pusher(source, target)).do(task("INV-1", invoice="INV-1")))
    assert [record.fields for record in target.scan(Collection.INVOICES)] == [{"amount_cents": 5}]


@pytest.mark.parametrize("status", [200, 201, 204])
def test_success_returns(status):
    check(Answer(status=status, content={}))


@pytest.mark.parametrize("status", [500, 502, 503])
def test_trouble_of_the_target_is_tried_again_after_the_interval(status):
    with pytest.raises(Retry) as caught:
        check(Answer(status=status, content={}))
    assert caught.value.after is None


def test_too_many_requests_are_tried_again_when_the_target_says():
    with pytest.raises(Retry) as caught:
        check(Answer(status=429, content={"error": "too many requests"}, retry_after=3.0))
    assert (str(caught.value), caught.value.after) == ("429 too many requests", 3.0)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_what_will_never_work_fails_for_good(status):
    with pytest.raises(Fail):
        check(Answer(status=status, content={}))
