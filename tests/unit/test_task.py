"""Requests are checked before anything is stored."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esync.errors import TaskValueError
from esync.task import (
    check_key,
    check_name,
    default_created_by,
    hash_key,
    new_task,
    new_task_id,
)


class Kind(StrEnum):
    CUSTOMER = "customer"


def make(name="customer.sync", key="42", data=None, **options):
    return new_task(name, key, data, created_by="tests", **options)


@pytest.mark.parametrize(
    "text",
    [
        "a", "x" * 64, "\N{GRINNING FACE}" * 64, " a ", "e\u0301", "a\u202eb", "\ufeff",
        Kind.CUSTOMER,
    ],
)  # fmt: skip
def test_names_and_keys_that_are_taken_as_they_are(text):
    task = make(text, text)
    assert (task.name, task.key) == (str(text), str(text))
    assert type(task.name) is str


@pytest.mark.parametrize(
    "text",
    [
        "", "x" * 65, "x" * 64 + " ", "a\x00", "a\nb", "a\tb", "\x1b[31m", "\x7f", "\x85", "\x9b",
        "\ud800", "a\udfff", None, 5, True, b"abc", ["a"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("check", [check_name, check_key, lambda key: make(key=key)])
def test_names_and_keys_that_are_refused(check, text):
    with pytest.raises(TaskValueError, match=r"task (name|key) must"):
        check(text)


def test_a_long_key_is_told_about_hash_key():
    with pytest.raises(TaskValueError, match="hash_key"):
        check_key("x" * 65)
    assert check_key(hash_key("x" * 65))


def test_hash_key_is_the_sha256_of_the_original():
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_key("abc") == expected


@given(st.text())
def test_any_text_is_refused_or_kept(text):
    try:
        kept = check_key(text)
    except TaskValueError:
        return
    assert kept == text


@given(st.text())
def test_any_text_has_a_hash_key(text):
    assert check_key(hash_key(text))


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("after", "delay", "do_after"),
    [
        (None, 0, None),
        (0, 0, None),
        (1.5, 1.5, None),
        (timedelta(minutes=2), 120, None),
        (NOON, 0, NOON),
        (datetime(2001, 1, 1, tzinfo=UTC), 0, datetime(2001, 1, 1, tzinfo=UTC)),
    ],
)
def test_when_a_task_becomes_due(after, delay, do_after):
    task = make(after=after)
    assert (task.delay, task.do_after) == (delay, do_after)


@pytest.mark.parametrize(
    "after",
    [
        datetime(2030, 1, 1), datetime.max.replace(tzinfo=UTC), datetime(1969, 1, 1, tzinfo=UTC),  # noqa: DTZ001
        date(2030, 1, 1), -1, -0.001, float("nan"), float("inf"), True, "10m", timedelta.max,
        timedelta(seconds=-1), 1e12,
    ],
)  # fmt: skip
def test_other_moments_are_refused(after):
    with pytest.raises(TaskValueError, match="after must"):
        make(after=after)


@pytest.mark.parametrize("priority", [-1, 10, True, 2.0, "3", None])
def test_other_priorities_are_refused(priority):
    with pytest.raises(TaskValueError, match="priority must"):
        make(priority=priority)


@pytest.mark.parametrize("created_by", ["", "x" * 65, "a\x1b", "\ud800", None])
def test_created_by_follows_the_rules_of_a_key(created_by):
    with pytest.raises(TaskValueError, match="created_by must"):
        new_task("a", "b", created_by=created_by)


def test_the_default_created_by_is_always_allowed(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "a\x1b\n" * 80)
    assert "@a??a??" in new_task("a", "b", created_by=default_created_by()).created_by


def test_ids_are_version_7_and_ordered_by_time(monkeypatch):
    monkeypatch.setattr("time.time_ns", iter([1_000_000_000, 2_000_000_000]).__next__)
    first, second = new_task_id(), new_task_id()
    assert (first.version, first.variant) == (7, "specified in RFC 4122")
    assert first < second


def test_ids_differ_in_programs_that_seed_random():
    random.seed(0)
    first = new_task_id()
    random.seed(0)
    assert first.int & (1 << 62) - 1 != new_task_id().int & (1 << 62) - 1
