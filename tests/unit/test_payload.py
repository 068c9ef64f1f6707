"""Data is JSON that everybody can read back, or it is refused naming where."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esync.errors import TaskValueError
from esync.payload import DATA_LIMIT_BYTES, DEPTH_LIMIT, decode_data, encode_data, parse_data

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


def nested(depth):
    data = {}
    for _ in range(depth - 1):
        data = {"a": data}
    return data


@given(st.dictionaries(st.text(), values))
def test_data_that_is_taken_comes_back_equal(data):
    try:
        text = encode_data(data)
    except TaskValueError:
        return
    assert decode_data(text) == data
    assert "\x00" not in text
    text.encode()


@dataclass
class Customer:
    number: int


@pytest.mark.parametrize(
    "value",
    [
        float("nan"), float("inf"), float("-inf"), "\x00", "a\ud800", 10**4301, -(10**4301), {1},
        b"x", datetime.now(UTC), Decimal(1), uuid4(), Customer(1), object(), 1j,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_that_are_no_json_are_refused_with_their_path(value):
    with pytest.raises(TaskValueError, match=r"data\.a\[1\]\.b"):
        encode_data({"a": [0, {"b": value}]})


@pytest.mark.parametrize("root", [None, [], "x", 1, True, ()])
def test_data_must_be_an_object(root):
    with pytest.raises(TaskValueError, match="data must be an object"):
        encode_data(root)


@pytest.mark.parametrize("name", [1, None, True, 1.5, ("a",)])
def test_names_that_json_would_merge_are_refused(name):
    with pytest.raises(TaskValueError, match="str names"):
        encode_data({"1": "a", name: "b"})


@pytest.mark.parametrize("name", ["\x00", "\udc00"])
def test_names_follow_the_rules_of_text(name):
    with pytest.raises(TaskValueError):
        encode_data({name: 1})


def test_depth_is_limited():
    assert decode_data(encode_data(nested(DEPTH_LIMIT))) == nested(DEPTH_LIMIT)
    for depth in (DEPTH_LIMIT + 1, 5000, 100_000):
        with pytest.raises(TaskValueError, match="64 levels"):
            encode_data(nested(depth))


def test_circles_are_refused():
    circle = {}
    circle["a"] = circle
    with pytest.raises(TaskValueError, match="levels"):
        encode_data(circle)


def test_size_is_counted_in_bytes():
    encode_data({"a": "x" * (DATA_LIMIT_BYTES - 8)})
    with pytest.raises(TaskValueError, match="1048576 bytes, got 1048577 bytes"):
        encode_data({"a": "x" * (DATA_LIMIT_BYTES - 7)})
    with pytest.raises(TaskValueError, match="at most 10 bytes"):
        encode_data({"a": "éé"}, limit_bytes=10)


def test_an_error_never_repeats_the_payload():
    with pytest.raises(TaskValueError) as caught:
        encode_data({"a": {"secret-value"}})
    assert "secret-value" not in str(caught.value)


def test_the_largest_integers_come_back():
    data = {"a": 10**4300 - 1}
    assert sys.get_int_max_str_digits() >= 4300
    assert decode_data(encode_data(data)) == data


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "1", '{"a":' + "[" * 100_000, '{"a": 1' + "0" * 5000 + "}", "NaN"],
    ids=lambda text: text[:10],
)
def test_rows_that_cannot_be_decoded_raise_value_error(text):
    with pytest.raises(ValueError, match="undecodable data"):
        decode_data(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must be JSON"),
        ("   ", "must be JSON"),
        ("{", "must be JSON"),
        ('{"a":1} {"b":2}', "must be JSON"),
        ('\ufeff{"a":1}', "must be JSON"),
        ('{"a":' + "[" * 100_000, "must be JSON"),
        ('{"a":' + "1" * 5000 + "}", "must be JSON"),
        ("[1]", "must be an object"),
        ('{"a":1,"a":2}', "'a' twice"),
        ('{"x":{"a":1,"b":1,"a":2}}', "'a' twice"),
    ],
    ids=lambda text: text[:10],
)
def test_typed_data_that_is_refused(text, told):
    with pytest.raises(TaskValueError, match=told):
        parse_data(text)


@given(st.dictionaries(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.integers()))
def test_typed_data_is_read_as_json_reads_it(data):
    assert parse_data(json.dumps(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        {"text": "a\nb"},
        {"n\xadme": "soft hyphen"},
        {"number": 2**63},
        {"number": -0.0},
        {"none": None, "yes": True, "nested": {"list": [1, "2"]}},
    ],
)
def test_what_is_not_quite_plain_is_encoded_all_the_same(data):
    assert json.loads(encode_data(data)) == data
