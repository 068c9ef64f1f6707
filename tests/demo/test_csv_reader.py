from __future__ import annotations

from collections import Counter
from importlib.resources import files

import pytest

from esync.demo.chaos import Chaos
from esync.demo.csv_reader import read_customers
from esync.errors import TaskValueError


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "mine.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_the_first_column_with_unique_values_is_the_key(write):
    customers = read_customers(write("country,no,city\nDE,1,Bonn\nDE,2,Bonn\n"))
    assert customers.key_column == "no"
    assert customers.rows == {
        "1": {"country": "DE", "city": "Bonn"},
        "2": {"country": "DE", "city": "Bonn"},
    }


def test_a_column_with_an_empty_value_is_not_the_key(write):
    assert read_customers(write("a,b\n,x\n1,y\n")).key_column == "b"


def test_the_key_column_can_be_named(write):
    customers = read_customers(write("no,name\n1,x\n2,y\n"), key="name")
    assert list(customers.rows) == ["x", "y"]
    assert customers.columns == ("no",)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(write, delimiter):
    text = f"no{delimiter}name\n1{delimiter}x\n"
    assert read_customers(write(text)).rows == {"1": {"name": "x"}}


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffno,name\r\n1,x\r\n",
        "\nno,name\n\n1,x\n\n",
        'no,name\n1,"x"',
    ],
)
def test_byte_order_mark_line_ends_and_blank_lines_do_not_matter(write, content):
    assert read_customers(write(content)).rows == {"1": {"name": "x"}}


def test_values_are_kept_as_they_are(write):
    customers = read_customers(write('no,name\n 007 ,"a ""b"", c\nd  "\n'))
    assert customers.rows == {" 007 ": {"name": 'a "b", c\nd  '}}


def test_columns_of_the_same_name_are_told_apart(write):
    customers = read_customers(write("no,name,name,\n1,x,y,z\n"))
    assert customers.rows["1"] == {"name": "x", "name 2": "y", "column 4": "z"}


def test_one_column_is_enough(write):
    assert read_customers(write("no\n1\n2\n")).rows == {"1": {}, "2": {}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"no,name\n", "has no row"),
        (b"no,name\n1,a\n1,a\n", "whose values are all different, none has"),
        (b"no,name\n1,caf\xe9\n", "must be UTF-8, got byte 0xE9 in mine.csv line 2"),
        (b"no,name\n1,a\n2,b\0\n", "NUL, got one in mine.csv line 3"),
        (b"no,name\n1\n", "line 2 must have 2 fields like its header, got 1"),
        (b"no,name\n1,a,b\n", "line 2 must have 2 fields like its header, got 3"),
        (b'no,name\n1,"a\n', "must be CSV"),
        (b'no,name\n1,"a"b\n', "line 2 must be CSV"),
        (b"no,name\n1," + b"x" * 200_000 + b"\n", "line 2 must be CSV"),
        (b"no\n" + b"x" * 501 + b"\n", "line 2 must have a key of at most 500 characters, got 501"),
    ],
)
def test_a_wrong_file_gives_one_clear_line(write, content, said):
    with pytest.raises(TaskValueError) as caught:
        read_customers(write(content))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_named_key_column_must_exist(write):
    with pytest.raises(TaskValueError, match=r"key must be a column of mine.csv .*, got 'id'"):
        read_customers(write("no,name\n1,x\n"), key="id")


def test_a_named_key_column_must_have_unique_values(write):
    with pytest.raises(TaskValueError, match="line 4 must have a key of its own, 'x' occurs twice"):
        read_customers(write("no,name\n1,x\n2,y\n3,x\n"), key="name")


def test_a_named_key_column_must_have_no_empty_value(write):
    with pytest.raises(TaskValueError, match="line 3 must have a key, it is empty"):
        read_customers(write("no,name\n1,x\n2,\n"), key="name")


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(TaskValueError, match="csv must be a file that can be read, got "):
        read_customers(tmp_path / name)


def test_the_shipped_customers_are_many_varied_and_some_of_them_are_refused():
    customers = read_customers(files("esync.demo").joinpath("customers.csv"))
    countries = Counter(fields["country"] for fields in customers.rows.values())
    assert len(customers.rows) >= 300
    assert len(countries) >= 20
    assert any(len(key) > 64 for key in customers.rows)
    assert 3 <= sum(Chaos().has_refused(key) for key in customers.rows) <= 20
