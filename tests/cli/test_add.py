"""`esync add`: what is typed is checked, stored, and told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest


def added(cli, result):
    assert (result.code, result.err) == (0, "")
    return cli.queue.driver.get_task(UUID(result.out.strip()))


def test_add_prints_the_id_of_what_it_stored(cli):
    detail = added(cli, cli("add", "customer.sync", "42", "--data", '{"a": 1}', "--priority", "0"))
    assert (detail.row.name, detail.row.key, detail.row.priority) == ("customer.sync", "42", 0)
    assert detail.raw_data == '{"a":1}'


def test_add_as_json(cli):
    result = cli("add", "n", "ключ", "--json")
    assert result.out.isascii()
    assert (result.json["name"], result.json["key"]) == ("n", "ключ")


def test_data_comes_from_stdin(cli):
    detail = added(cli, cli("add", "n", "k", "--data", "-", stdin='{"a": "é"}\n'))
    assert detail.raw_data == '{"a":"é"}'


@pytest.mark.parametrize(
    ("stdin", "told"),
    [
        ("", "stdin is empty"),
        ("  \n", "stdin is empty"),
        (b'{"a": "\xff"}', "UTF-8"),
        ('\ufeff{"a": 1}', "must be JSON"),
        ('{"a": 1}{"b": 2}', "must be JSON"),
        ('{"a": 1, "a": 2}', "'a' twice"),
        ("[1]", "must be an object"),
        ('{"a": NaN}', "got nan at data.a"),
        ('{"a": 1e400}', "got inf at data.a"),
        ('{"a": "\\u0000"}', "NUL character at data.a"),
        ('{"a": "\\ud800"}', "lone surrogate at data.a"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", "64 levels"),
        ('{"a": ' + "[" * 100_000, "must be JSON"),
        ('{"a": "' + "x" * 1024 * 1024 + '"}', "1048576 bytes"),
    ],
    ids=lambda value: value[:12],
)
def test_bad_data_is_refused_with_one_line(cli, stdin, told):
    result = cli("add", "n", "k", "--data", "-", stdin=stdin)
    assert (result.code, result.out) == (2, "")
    assert told in result.err
    assert result.err.count("\n") == 1
    assert cli.queue.manager.get_task_count() == 0


def test_stdin_is_read_no_further_than_the_limit(monkeypatch):
    class Endless:
        def __init__(self):
            self.read_bytes = 0

        def read(self, size):
            self.read_bytes += size
            return b"x" * size

    endless = Endless()

    class Stdin:
        buffer = endless

    monkeypatch.setattr("esync.cli.values.sys.stdin", Stdin)
    from esync.cli.values import read_data  # noqa: PLC0415 - beside its use
    from esync.errors import TaskValueError  # noqa: PLC0415 - beside its use

    with pytest.raises(TaskValueError, match="stdin has more"):
        read_data("-")
    assert endless.read_bytes == 1024 * 1024 + 1


BAD_TEXTS = [
    "", "x" * 65, "x" * 64 + " ", "a\nb", "a\tb", "\x1b[31mred", "\x7f", "\x9b31m", "a\udcffb",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_TEXTS)
@pytest.mark.parametrize("field", ["name", "key"])
def test_bad_names_and_keys_are_refused_with_one_line(cli, field, text):
    name, key = (text, "k") if field == "name" else ("n", text)
    result = cli("add", "--", name, key)
    assert result.code == 2
    assert result.err.startswith(f"esync: task {field} must")
    assert result.err.count("\n") == 1
    assert "\x1b" not in result.err


@pytest.mark.parametrize(
    "text", ["x" * 64, "\N{GRINNING FACE}" * 64, " a ", "-", "a\u202eb", "%_\\("]
)
def test_odd_names_and_keys_are_taken_as_they_are(cli, text):
    row = added(cli, cli("add", "--", text, text)).row
    assert (row.name, row.key) == (text, text)


@pytest.mark.parametrize(
    ("after", "seconds"), [("10m", 600), ("1h30m", 5400), ("30", 30), ("0", 0), ("2d", 172800)]
)
def test_after_a_while(cli, after, seconds):
    row = added(cli, cli("add", "n", "k", "--after", after)).row
    assert row.do_after - row.created_at == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "after", ["2040-01-31T18:00+01:00", "2040-01-31T17:00:00Z", "2040-01-31 17:00:00+00:00"]
)
def test_after_a_moment(cli, after):
    row = added(cli, cli("add", "n", "k", "--after", after)).row
    assert row.do_after == datetime(2040, 1, 31, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    "after",
    [
        "soon", "-1s", "nan", "inf", "1e9", "infinity", "2040-01-31T18:00", "2040-01-31",
        "9999-01-31T18:00Z", "0001-01-31T18:00Z", "2040-13-31T18:00Z", "99999999d",
    ],
)  # fmt: skip
def test_other_moments_are_refused(cli, after):
    result = cli("add", "n", "k", f"--after={after}")
    assert result.code == 2
    assert "after must" in result.err


@pytest.mark.parametrize("priority", ["-1", "10"])
def test_priorities_outside_0_to_9_are_refused(cli, priority):
    assert cli("add", "n", "k", f"--priority={priority}").code == 2
