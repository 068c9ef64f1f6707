"""`esync demo`: its exit code says whether both sides are equal; wrong use is one line."""

from __future__ import annotations

import pytest


def test_it_ends_with_both_sides_equal(spawn, database):
    process = spawn("demo", "--headless", "--seconds", "1", "--dsn", database)
    assert process.wait(100) == 0, process.stderr
    assert "source and target are equal" in process.stdout


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--csv", "/nowhere.csv"], 2, "csv must be a file"),
        (["--key", "nosuch"], 2, "key must be a column"),
        (["--dsn", "nonsense"], 2, "--dsn must be"),
        (["--dsn", "postgresql://127.0.0.1:1/x"], 4, "cannot be reached"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(spawn, options, code, told):
    process = spawn("demo", "--headless", "--seconds", "1", *options)
    assert process.wait() == code
    assert told in process.stderr
    assert process.stderr.count("\n") == 1


def test_the_database_of_the_environment_is_left_alone(cli, tmp_path):
    cli.environ = {"ESYNC_DSN": "postgresql://127.0.0.1:1/x"}
    result = cli("demo", "--headless", "--csv", str(tmp_path / "nowhere.csv"))
    assert (result.code, cli.places) == (2, [])
