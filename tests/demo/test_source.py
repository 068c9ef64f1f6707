from __future__ import annotations

import psycopg
import pytest
from psycopg.rows import namedtuple_row

from esync.demo.record import Collection, to_task_key
from esync.demo.source import Source
from esync.task_manager import TaskManager

CUSTOMERS = Collection.CUSTOMERS
KEYS = [
    "1",
    "x" * 64,
    "x" * 65,
    "ä" * 64,
    "ä" * 65,
    "💶" * 64,
    "a\nb",
    "a\x7fb",
    "a\x85b",
    "a\xa0b",
    "a\u2028b",
    "back\\slash",
    " ",
]


def tasks(database):
    with psycopg.connect(database, row_factory=namedtuple_row) as conn:
        return conn.execute(
            "SELECT task_name, task_key, data, created_by, state FROM message_queue ORDER BY seq"
        ).fetchall()


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
def test_the_trigger_gives_the_task_key_that_python_gives(source, database, key):
    source.write_customer(key, {})
    (task,) = tasks(database)
    assert task.task_key == to_task_key(key)
    assert task.data["customer"] == key


def test_every_kind_of_change_adds_one_task_per_row(source, database):
    source.add_customers([("1", {"name": "a"}), ("2", {"name": "b"})])
    source.write_customer("1", {"name": "c"})
    source.delete_customer("2")
    source.delete_customer("3")
    added = [(task.task_name, task.task_key, task.data["change"]) for task in tasks(database)]
    assert added == [
        ("customer.sync", "1", "INSERT"),
        ("customer.sync", "2", "INSERT"),
        ("customer.sync", "1", "UPDATE"),
        ("customer.sync", "2", "DELETE"),
    ]


def test_a_changed_key_adds_a_task_for_both(source, database):
    source.write_customer("1", {})
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE customer SET key = '2'")
    assert [task.task_key for task in tasks(database)] == ["1", "1", "2"]


def test_tasks_say_who_added_them_and_are_ready(source, database):
    source.write_customer("1", {})
    (task,) = tasks(database)
    assert (task.created_by, task.state) == ("erp", "READY")


def test_versions_grow_with_every_change_even_after_a_delete(source):
    versions = []
    for _ in range(3):
        source.write_customer("1", {"name": "x"})
        versions.append(source.read(CUSTOMERS, "1").version)
        source.delete_customer("1")
    assert versions == sorted(set(versions))


def test_a_customer_that_is_gone_is_read_as_none(source):
    assert source.read(CUSTOMERS, "1") is None


def test_fields_come_back_as_they_were(source):
    fields = {"name": 'Zoé "x"\n\\u0041 %s {0}', "": "empty name", "n": "00"}
    source.write_customer("1", fields)
    assert source.read(CUSTOMERS, "1").fields == fields


def test_a_scan_yields_every_row_in_the_order_of_the_bytes(source):
    keys = [f"k{n}" for n in range(2100)] + KEYS
    source.add_customers((key, {}) for key in keys)
    found = [record.key for record in source.scan(CUSTOMERS)]
    assert found == sorted(keys, key=lambda key: key.encode())


def test_an_invoice_and_its_task_are_committed_together(source, driver, database):
    manager = TaskManager(driver, created_by="erp")
    source.add_invoice("INV-1", {"amount_cents": 5}, task_manager=manager)
    with pytest.raises(psycopg.errors.UniqueViolation):
        source.add_invoice("INV-1", {"amount_cents": 6}, task_manager=manager)
    assert [(task.task_name, task.task_key) for task in tasks(database)] == [
        ("invoice.push", "INV-1")
    ]


def test_waiting_names_the_keys_with_a_task_under_way(source, database):
    source.add_customers([("1", {}), ("2", {}), ("y" * 70, {})])
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE message_queue SET state = 'DONE' WHERE task_key = '1'")
    assert source.waiting(CUSTOMERS, ["1", "2", "3", "y" * 70]) == {"2", "y" * 70}


def test_the_tables_can_lie_in_a_schema_with_an_odd_name(empty_database):
    from esync.postgres.migrate import migrate  # noqa: PLC0415 - as the fixtures do

    with psycopg.connect(empty_database) as conn:
        conn.execute('CREATE SCHEMA "Odd"')
    migrate(empty_database, schema="Odd", table="Queue")
    source = Source(empty_database, schema="Odd", table="Queue")
    source.open()
    try:
        source.create()
        source.write_customer("1", {})
        assert source.waiting(CUSTOMERS, ["1"]) == {"1"}
    finally:
        source.close()
