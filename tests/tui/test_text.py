"""Numbers, times, bars and pieces of text, as the console writes them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from esync.snapshot import Count, Filter, Precision, rate_per_minute
from esync.task import TaskState
from esync.text import age
from esync_tui.query import FilterError, format_filter, parse_filter
from esync_tui.spark import chart, spark
from esync_tui.text import (
    Piece,
    add_counts,
    align_right,
    clock,
    duration,
    fit,
    format_count,
    shown,
    spread,
    stamp,
    width_of,
    wrap,
)


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (Count(0), "0"),
        (Count(1_204), "1,204"),
        (Count(998_412), "998,412"),
        (Count(1_250_000), "1.2M"),
        (Count(10_000, Precision.CAPPED), "10k+"),
        (Count(998_412, Precision.ESTIMATE), "~998k"),
        (Count(10_240_000, Precision.ESTIMATE), "~10.2M"),
        (Count(999, Precision.ESTIMATE), "~999"),
        (Count(0, Precision.UNREAD), "?"),
    ],
)
def test_a_count_never_looks_more_precise_than_it_is(count, written):
    assert format_count(count) == written


def test_a_sum_is_as_trustworthy_as_its_worst_part():
    capped, exact = Count(10, Precision.CAPPED), Count(5)
    assert add_counts([exact, capped]) == Count(15, Precision.CAPPED)
    assert add_counts([Count(1, Precision.ESTIMATE), capped]).precision is Precision.ESTIMATE
    assert add_counts([exact, Count(0, Precision.UNREAD)]).precision is Precision.UNREAD
    assert add_counts([]) == Count(0)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0s"), (59.9, "59s"), (842, "14m02s"), (7800, "2h10m"), (86400 * 6 + 3600 * 4, "6d04h"),
        (86400 * 99, "99d"), (86400 * 365 * 5, "5y"), (-3, "0s"), (float("inf"), "9999y"),
    ],
)  # fmt: skip
def test_an_age_takes_at_most_six_characters(seconds, written):
    assert age(seconds) == written
    assert len(written) <= 6


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(None, "-"), (0.0123, "12ms"), (0.34, "340ms"), (2.14, "2.1s"), (842, "14m02s")],
)
def test_a_duration_has_the_unit_that_fits(seconds, written):
    assert duration(seconds) == written


def test_the_rate_slides_over_the_minute_that_has_just_begun():
    assert rate_per_minute((0, 60, 0), second=0) == 60
    assert rate_per_minute((0, 60, 30), second=30) == 60
    assert rate_per_minute((0, 60, 0), second=30) == 30
    assert rate_per_minute((5,), second=30) == 5
    assert rate_per_minute((), second=30) == 0


def test_bars_start_at_zero():
    assert spark([100, 100, 100], width=3) == "███"
    assert spark([100, 101], width=2) == "██"
    assert spark([0, 1, 100], width=3) == " ▁█"
    assert spark([1, 2, 4, 8], width=2) == "▄█"
    assert spark([4], width=3) == "  █"
    assert spark([], width=3) == "   "
    assert spark([5, 10], width=2, top=20) == "▂▄"


def test_a_chart_is_filled_from_below():
    assert chart([0, 4, 8], width=3, height=2) == ["  █", " ██"]
    assert chart([], width=2, height=2) == ["  ", "  "]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(shown)


@given(st.lists(texts, max_size=4), st.integers(1, 60))
def test_fitted_pieces_take_exactly_their_cells(parts, width):
    pieces = tuple(Piece(part) for part in parts)
    for fitted in (fit(pieces, width), align_right(pieces, width)):
        assert width_of(fitted) == width


@given(texts, texts, st.integers(1, 60))
def test_a_line_with_two_ends_takes_exactly_its_cells(left, right, width):
    assert width_of(spread((Piece(left),), (Piece(right),), width)) == width


@given(texts, st.integers(2, 30))
def test_wrapping_loses_nothing_but_spaces(text, width):
    lines = wrap((Piece(text),), width)
    assert all(width_of(line) <= width for line in lines)
    joined = "".join(piece.text for line in lines for piece in line)
    assert joined.replace(" ", "") == text.replace(" ", "")


def test_a_flood_of_combining_characters_is_tamed():
    flooded = shown("z" + "\u0301" * 400)
    assert len(flooded) == 6
    assert cell_len(flooded) == 2
    assert shown("ñandú नमस्ते שָׁלוֹם") == "ñandú नमस्ते שָׁלוֹם"


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("", Filter()),
        ("C-88", Filter(key_prefix="C-88")),
        ("key:C-88*", Filter(key_prefix="C-88")),
        ("key:C-88412", Filter(key="C-88412")),
        ("name:a,b state:failed,retry", Filter(
            names=("a", "b"), states=(TaskState.FAILED, TaskState.RETRY))),
        ("state:in-progress", Filter(states=(TaskState.IN_PROGRESS,))),
        ('err:"HTTP 429" since:90m', Filter(error="HTTP 429", since=5400.0)),
        ('name:"a,b",c', Filter(names=("a,b", "c"))),
        ('key:"C-88*"', Filter(key="C-88*")),
        ('"key:C 88"*', Filter(key_prefix="key:C 88")),
        (r'err:"say \"no\" in C:\\temp\x"', Filter(error=r'say "no" in C:\temp\x')),
        (r'key:"\u{202E}24\u{1b}"', Filter(key="\u202e24\x1b")),
    ],
)  # fmt: skip
def test_a_filter_line_is_read_and_written_back(line, where):
    assert parse_filter(line) == where
    assert parse_filter(format_filter(where)) == where


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("colour:red", "colour: is no term; there are name, state"),
        ("name:a state:broken", "state: is one of READY, IN PROGRESS"),
        ("since:soon", "since: is a number and s, m, h or d, got 'soon'"),
        ("id:42", "id: is a UUID, got '42'"),
        ('err:""', "err: must not be empty"),
        ("name:a,,b", "name: must not be empty"),
        ("key:*", "a key's start: must not be empty"),
        ("name:bulk*", "name: only a key may end with *; in quotes it means itself"),
        ("err:timeout*", "err: only a key may end with *; in quotes it means itself"),
        ("name:bulk b1 b2", "a key's start: is given twice; name:a,b asks for either"),
        ("name:a state:failed name:b", "name: is given twice; name:a,b asks for either"),
        ("key:C-1* C-2", "a key's start: is given twice"),
        ('err:"HTTP 429', 'a " is not closed'),
        ("key:a\x00b", "holds a character that PostgreSQL does not store"),
        (r'key:"\u{d800}"', "holds a character that PostgreSQL does not store"),
        (r'key:"\u{110000}"', "holds a character that PostgreSQL does not store"),
    ],
)
def test_a_filter_line_that_cannot_be_read_says_why_and_where(line, why):
    with pytest.raises(FilterError, match=r"\(at \d+\)$") as caught:
        parse_filter(line)
    assert why in str(caught.value)


@given(st.text(max_size=60))
def test_any_line_is_a_filter_or_an_error(line):
    try:
        where = parse_filter(line)
    except FilterError:
        return
    assert isinstance(where, Filter)


_stored = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1)


@given(
    st.builds(
        Filter,
        names=st.lists(_stored).map(tuple),
        states=st.lists(st.sampled_from(TaskState), unique=True).map(tuple),
        key=st.none() | _stored,
        key_prefix=st.none() | _stored,
        error=st.none() | _stored,
        since=st.none() | st.decimals("0.001", 99_999_999, places=3).map(float),
        ids=st.lists(st.uuids()).map(tuple),
    )
)
def test_any_filter_is_written_so_that_it_reads_the_same(where):
    line = format_filter(where)
    assert parse_filter(line) == where
    assert shown(line, limit=len(line)) == line


def test_stamps_are_in_utc():
    moment = datetime(2026, 11, 24, 12, 41, 7, tzinfo=UTC)
    assert clock(moment) == "12:41:07Z"
    assert stamp(moment) == "2026-11-24 12:41:07Z"
    assert stamp(None) == "-"
