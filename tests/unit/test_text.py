"""Text from elsewhere: storable on its way in, harmless on its way out."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esync.text import MESSAGE_LIMIT_BYTES, clean, visible_block, visible_line

HOSTILE = (
    [chr(i) for i in range(0x20) if chr(i) not in "\t\n"]
    + [chr(i) for i in range(0x7F, 0xA0)]
    + list("\u061c\u200b\u200e\u200f\u2028\u2029\u2060\ufeff\u00ad\u202a\u202e\u2066\u2069")
    + ["\ud800", "\udfff", "\U000e0001", "\U000e007f"]
)


@given(st.text(alphabet=st.characters()) | st.text(alphabet=st.sampled_from("a\x00\ud800é")))
def test_clean_text_is_always_storable(text):
    cleaned = clean(text)
    assert "\x00" not in cleaned
    cleaned.encode()


@given(st.text(), st.integers(min_value=4, max_value=40))
def test_clean_text_fits_its_limit(text, limit):
    assert len(clean(text, limit_bytes=limit).encode()) <= limit


def test_clean_keeps_good_text():
    assert clean("Zażółć 漢字 😀\n") == "Zażółć 漢字 😀\n"


def test_a_long_message_is_cut_visibly_between_characters():
    cleaned = clean("é" * MESSAGE_LIMIT_BYTES)
    assert cleaned.endswith("é…")
    assert len(cleaned.encode()) <= MESSAGE_LIMIT_BYTES


@pytest.mark.parametrize("char", HOSTILE)
@pytest.mark.parametrize("show", [visible_line, visible_block])
def test_nothing_hostile_survives(show, char):
    shown = show(f"a{char}b")
    assert char not in shown
    assert len(shown) == 3


@given(st.text())
def test_a_line_is_one_line_of_no_control_characters(text):
    shown = visible_line(text)
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in shown)


@given(st.text())
def test_a_block_has_no_control_character_but_the_line_feed(text):
    shown = visible_block(text)
    assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in shown if char != "\n")


def test_lines_and_tabs_stay_readable():
    assert visible_line("a\nb\tc") == "a⏎ b c"
    assert visible_block("a\nb\tc") == "a\nb   c"


def test_real_text_is_left_alone():
    text = "नमस्ते \u0645\u06cc\u200c\u062e\u0648 👩\u200d💻 é e\u0301"
    assert visible_line(text) == text


def test_text_is_cut_before_it_is_worked_on():
    assert visible_line("x" * 1000, limit=3) == "xxx"
