"""Tables of the command line: what is left out, and what is cut, where a terminal is narrow."""

from __future__ import annotations

import re
import sys

import pytest

from esync.cli.output import say_table

HEADERS = ("NAME", ">READY", "~>SCHEDULED", "~WORKER", "MESSAGE")
NAME = "customer.synchronise.漢字"
ROWS = [
    (NAME, "1,234,567", "12", "web-3:123", "HTTP 429 from netsuite"),
    ("a", "0", "", "", ""),
]


@pytest.fixture
def printed(capsys, monkeypatch):
    """Return what is printed on a terminal of some width."""

    def printed(width):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        say_table(HEADERS, ROWS)
        return re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out).splitlines()

    return printed


def test_a_table_that_has_room_is_whole(printed):
    head, row, _ = printed(120)
    assert head.split() == ["NAME", "READY", "SCHEDULED", "WORKER", "MESSAGE"]
    assert row.endswith("1,234,567         12  web-3:123  HTTP 429 from netsuite")


def test_the_last_columns_that_may_be_left_out_are_so_first(printed):
    head, row, _ = printed(58)
    assert head.split() == ["NAME", "READY", "SCHEDULED", "MESSAGE"]
    assert "1,234,567         12  HTTP 429" in row


@pytest.mark.parametrize("width", [1, 20, 40])
def test_numbers_are_never_cut(printed, width):
    head, row, _ = printed(width)
    assert head.split() == ["NAME", "READY", "MESSAGE"]
    assert row.split()[1] == "1,234,567"
    assert row.split()[0].endswith("…")


def test_programs_that_read_on_get_everything(capsys):
    say_table(HEADERS, ROWS)
    assert NAME + "  1,234,567         12  web-3:123  HTTP 429 from netsuite" in (
        capsys.readouterr().out
    )
