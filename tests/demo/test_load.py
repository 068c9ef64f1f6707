from __future__ import annotations

from collections import Counter

import psycopg
import pytest
from fix_wait import wait_until

from esync.demo.load import LoadGenerator
from esync.demo.record import Collection
from esync.errors import SettingError
from esync.task_manager import TaskManager

CUSTOMERS = {str(n): {"name": f"name {n}", "city": f"city {n % 3}"} for n in range(40)}


@pytest.fixture
def make_load(source, driver):
    loads = []

    def make(customers=CUSTOMERS, *, rate=100.0):
        source.add_customers(customers.items())
        manager = TaskManager(driver, created_by="erp")
        loads.append(LoadGenerator(source, customers, task_manager=manager, rate=rate, seed=5))
        return loads[-1]

    yield make
    for load in loads:
        load.stop()


def test_edits_change_insert_and_delete_rows_and_a_few_keys_are_hot(make_load, database):
    load = make_load()
    for _ in range(300):
        load.edit()
    with psycopg.connect(database) as conn:
        rows = conn.execute(
            "SELECT task_name, task_key, data->>'change' FROM message_queue ORDER BY seq OFFSET 40"
        ).fetchall()
    kinds = Counter((name, change) for name, _, change in rows)
    keys = Counter(key for name, key, _ in rows if name == "customer.sync")
    assert min(kinds["customer.sync", kind] for kind in ("INSERT", "UPDATE", "DELETE")) > 2
    assert kinds["invoice.push", None] > 10
    assert keys.most_common(3)[2][1] > 2 * keys.most_common(4)[3][1]


def test_values_stay_in_their_column(make_load, source):
    load = make_load()
    for _ in range(100):
        load.edit()
    for record in source.scan(Collection.CUSTOMERS):
        assert record.fields["name"].startswith("name")
        assert record.fields["city"].startswith("city")


@pytest.mark.parametrize("customers", [{"1": {}}, {"1": {"name": "x"}}, {"1": {}, "new-2": {}}])
def test_a_file_of_one_column_or_one_row_can_be_edited(make_load, customers, source):
    load = make_load(customers)
    for _ in range(200):
        load.edit()
    assert load.edits == 200
    assert all(
        len(str(row.fields.get("name", ""))) < 5 for row in source.scan(Collection.CUSTOMERS)
    )


def test_the_thread_edits_until_it_is_stopped(make_load):
    load = make_load()
    load.start()
    wait_until(lambda: load.edits > 5)
    load.stop()
    assert not load._thread.is_alive()


def test_a_rate_of_zero_edits_nothing_and_stop_is_legal_at_any_time(make_load):
    load = make_load(rate=0)
    load.stop()
    load.start()
    load.stop()
    assert load.edits == 0


def test_edits_go_on_after_the_connections_were_lost(make_load, cluster, database):
    load = make_load()
    load.start()
    wait_until(lambda: load.edits > 5)
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    assert cluster.terminate("esync:demo", database=name)
    before = load.edits
    wait_until(lambda: load.edits > before + 5)


@pytest.mark.parametrize("rate", [-1, 1001, float("nan")])
def test_a_wrong_rate_names_its_rule(make_load, rate):
    with pytest.raises(SettingError, match="rate must be 0 to 1000 edits per second, got"):
        make_load(rate=rate)
