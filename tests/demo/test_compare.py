from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esync.demo.chaos import POLITE
from esync.demo.compare import Comparison, Difference, Refused, compare, pair
from esync.demo.record import Collection, Record

CUSTOMERS = Collection.CUSTOMERS

keys = st.sets(st.text(min_size=1), max_size=8)


def records(names, version=1):
    return [Record(key=key, version=version, fields={}) for key in sorted(names)]


@given(keys, keys)
def test_pair_yields_every_key_once_with_both_sides(left, right):
    pairs = [
        (one.key if one else None, other.key if other else None)
        for one, other in pair(records(left), records(right))
    ]
    expected = [
        (key if key in left else None, key if key in right else None)
        for key in sorted(left | right)
    ]
    assert pairs == expected


def fill(source, target, names):
    source.add_customers((name, {"name": name}) for name in names)
    for record in source.scan(CUSTOMERS):
        target.put(CUSTOMERS, record)


def test_both_sides_with_the_same_rows_are_equal(source, target):
    fill(source, target, ["1", "ä", "Z", "💶", "\uffff"])
    comparison = compare(source, target)
    assert comparison.is_equal
    assert comparison.equal == 5


def test_a_row_that_only_one_side_has_is_a_difference(source, target):
    fill(source, target, ["1", "2", "3"])
    source.delete_customer("2")
    target.delete(CUSTOMERS, "3")
    comparison = compare(source, target)
    assert not comparison.is_equal
    assert [(row.key, row.source_version) for row in comparison.differences] == [
        ("2", None),
        ("3", 3),
    ]


@pytest.mark.parametrize("change", [{"version": 9}, {"fields": {"name": "other"}}, {"fields": {}}])
def test_a_row_with_another_version_or_other_fields_is_a_difference(source, target, change):
    fill(source, target, ["1"])
    target.put(CUSTOMERS, replace(source.read(CUSTOMERS, "1"), **change))
    assert [row.key for row in compare(source, target).differences] == ["1"]


def test_a_row_refused_in_its_current_version_is_excepted_and_listed(source, run_target):
    with run_target(replace(POLITE, refuse_share=1.0)) as target:
        fill(source, target, ["1"])
        comparison = compare(source, target)
    assert comparison.is_equal
    assert [row.key for row in comparison.refused] == ["1"]


def test_a_refusal_of_an_older_version_excuses_nothing(source, run_target):
    with run_target(replace(POLITE, refuse_share=1.0)) as target:
        fill(source, target, ["1"])
        source.write_customer("1", {"name": "newer"})
        comparison = compare(source, target)
    assert not comparison.is_equal


def test_the_description_lists_what_differs_and_what_was_refused():
    text = Comparison(
        equal=3,
        differences=(Difference(CUSTOMERS, "1\x1b[31m", 4, None),),
        refused=(Refused(CUSTOMERS, "2", "bad credit"),),
        waiting=7,
    ).describe()
    assert "NOT equal: 3 records are the same, 1 differ, 1 were refused for good" in text
    assert "differs: customer 1␛[31m: missing in the target, version 4 in the source" in text
    assert "refused: customer 2: bad credit" in text
    assert "the queue was NOT drained: 7 tasks are left" in text


def test_a_long_list_of_differences_is_cut():
    rows = tuple(Difference(CUSTOMERS, str(n), 1, None) for n in range(100))
    assert "and 80 more" in Comparison(equal=0, differences=rows, refused=()).describe()
