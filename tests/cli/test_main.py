"""Which queue a command means, and how every command ends."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer.main

from esync.cli import main as cli_main
from esync.cli.options import called_command, hoist
from esync.version import __version__

COMMANDS = (
    "migrate", "add", "status", "tasks", "show", "requeue", "cancel", "run-now", "pause", "resume",
    "worker", "workers", "demo",
)  # fmt: skip
READING = [["status"], ["workers"], ["tasks"], ["show", "k"], ["requeue", "k"], ["pause", "n"]]


def test_version(cli):
    assert cli("--version") == (0, f"esync {__version__}\n", "")


def test_help_lists_every_command_and_exit_code(cli):
    result = cli("--help")
    assert result.code == 0
    assert all(f"  {command} " in result.out for command in COMMANDS)
    assert "5 left with handlers still" in result.out


@pytest.mark.parametrize("names", cli_main.COMMANDS.values())
def test_a_called_command_loads_its_module_only(names):
    for name in names:
        group = typer.main.get_command(cli_main.build(["--table", "t", name]))
        assert tuple(group.commands) == names


def test_the_called_command_is_told_from_the_options_of_the_place():
    assert called_command(["--dsn", "add", "worker", "--table", "t"]) == "worker"
    assert called_command(["--help", "worker"]) == "--help"
    assert called_command(["--dsn"]) is None


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(cli, command):
    assert cli(command, "--help").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["nosuch"], ["add"], ["add", "n"], ["status", "extra"], ["tasks", "--nosuch"],
        ["tasks", "--limit", "many"], ["tasks", "--limit", "0"], ["tasks", "--limit", "1000000000"],
        ["cancel", "--max", "0"], ["cancel", "--max", "nan"], ["add", "n", "k", "--priority", "1h"],
        ["--dsn"], ["pause"], ["demo", "--seconds", "-1"],
    ],
)  # fmt: skip
def test_wrong_use_exits_2(cli, arguments):
    result = cli(*arguments)
    assert result.code == 2
    assert result.err or not arguments


@pytest.mark.parametrize("command", READING)
def test_no_database_named_exits_4_and_says_how(cli, command):
    cli.environ = {}
    result = cli(*command)
    assert result.code == 4
    assert "ESYNC_DSN" in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("command", [*READING, ["add", "n", "k"]])
def test_a_database_that_is_away_exits_4(cli, away, command):
    cli.fault = away
    assert cli(*command) == (4, "", "esync: cannot reach the database: connection refused\n")


def test_a_missing_schema_exits_4_with_the_command_to_run(cli, missing):
    cli.fault = missing
    assert "run `esync migrate`\n" in cli("status").err
    result = cli("status", "--table", "app.queue", "--dsn", "postgresql://me:hunter2@h/d")
    assert result.code == 4
    assert "run `esync migrate --dsn 'postgresql://me:***@h/d' --table app.queue`" in result.err


def test_options_for_the_queue_stand_before_or_after_the_command(cli):
    for arguments in (
        ["--dsn", "host=x", "--table", "a.b", "status"],
        ["status", "--dsn=host=x", "--table", "a.b"],
        ["status", "--json", "--schema", "a", "--table=b", "--dsn", "host=x"],
    ):
        assert cli(*arguments).code == 0
    assert {(place.dsn, place.schema, place.table) for place in cli.places} == {
        ("host=x", "a", "b")
    }


def test_hoisting_stops_at_two_dashes():
    assert hoist(["add", "--", "n", "--dsn"]) == ["add", "--", "n", "--dsn"]
    assert hoist(["add", "--table", "t", "--", "--table"]) == [
        "--table",
        "t",
        "add",
        "--",
        "--table",
    ]


def test_a_password_in_dsn_is_warned_of_and_never_shown(cli):
    result = cli("status", "--dsn", "postgresql://me:hunter2@h/d")
    assert result.code == 0
    assert "password in --dsn" in result.err
    assert "hunter2" not in result.err + result.out


@pytest.mark.parametrize("dsn", ["hunter2", "mysql://me:hunter2@h", "me:hunter2@h/d"])
def test_a_malformed_dsn_exits_2_without_repeating_it(cli, dsn):
    result = cli("status", "--dsn", dsn)
    assert result.code == 2
    assert "hunter2" not in result.err


@pytest.mark.parametrize("option", ["--table", "--schema"])
@pytest.mark.parametrize("name", ['q"; drop table x; --', "Über", "x" * 49, "a b"])
def test_a_bad_table_or_schema_exits_2(cli, option, name):
    assert cli("status", option, name).code == 2


@pytest.mark.parametrize("content", ["[tool.esync]\nleese = 3\n", "[tool.esync\n", b"\xff"])
def test_a_bad_pyproject_exits_2_naming_it(cli, content):
    path = cli.folder / "pyproject.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = cli("status")
    assert result.code == 2
    assert "pyproject.toml" in result.err
    assert result.err.count("\n") == 1


def test_the_table_may_come_from_pyproject(cli):
    (cli.folder / "pyproject.toml").write_text("[tool.esync]\ntable = 'app.queue'\n")
    assert cli("status").code == 0
    assert (cli.places[0].schema, cli.places[0].table) == ("app", "queue")


def test_starting_loads_neither_textual_nor_rich_nor_psycopg_nor_the_engine():
    code = (
        "import sys, esync.cli.main\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'textual', 'rich', 'psycopg', 'asyncio', 'esync_tui'}))\n"
        "print([name for name in sys.modules if name.startswith('esync.engine')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n[]\n"


def test_a_reader_that_left_is_no_error():
    script = (
        "import sys\n"
        "from esync.cli.output import say\n"
        "for number in range(100_000): say(str(number))\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    writer.stdout.readline()
    writer.stdout.close()
    with writer.stderr:
        assert writer.stderr.read() == b""
    assert writer.wait(30) == 0


@pytest.fixture
def broken():
    """A pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.fixture
def full():
    """A disk without room."""
    writing = os.open("/dev/full", os.O_WRONLY)
    yield writing
    os.close(writing)


@pytest.mark.parametrize(
    "arguments", [["add", "n", "k", "--data", "{"], ["bogus"], ["tasks", "-x"]]
)
@pytest.mark.parametrize("stderr", ["broken", "full"])
def test_what_cannot_be_told_on_stderr_changes_nothing(request, stderr, arguments):
    done = subprocess.run(
        [sys.executable, "-m", "esync", *arguments],
        stderr=request.getfixturevalue(stderr),
        env=os.environ | {"ESYNC_DSN": "host=x"},
        check=False,
    )
    assert done.returncode == 2


def test_a_table_that_cannot_be_written_is_told_as_any_output(full):
    script = (
        "from esync.cli.output import say_table\n"
        "from esync.errors import EsyncError\n"
        "try: say_table(['A'], [['b']])\n"
        "except EsyncError as error: raise SystemExit(str(error))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, check=False
    )
    assert done.stderr == b"the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["tasks", "--help"]])
@pytest.mark.parametrize(
    ("stdout", "code", "told"),
    [
        ("broken", 0, b""),
        ("full", 1, b"esync: the output cannot be written: No space left on device\n"),
    ],
)
def test_help_that_cannot_be_written(request, stdout, code, told, arguments):
    done = subprocess.run(
        [sys.executable, "-m", "esync", *arguments],
        stdout=request.getfixturevalue(stdout),
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, told)


@pytest.mark.parametrize(
    ("redirection", "code", "told"),
    [
        ("<&-", 0, ""),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        (">/dev/full", 1, "esync: the output cannot be written: No space left on device\n"),
    ],
)
def test_closed_and_full_streams_are_no_traceback(redirection, code, told):
    command = f"{sys.executable} -m esync migrate --sql {redirection}"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, told)


def test_data_from_a_closed_stdin_is_empty():
    command = f"{sys.executable} -m esync add n k --data - --dsn host=x <&-"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "esync: data must be JSON: stdin is empty\n")


def test_a_terminal_without_unicode_gets_codes(tmp_path):
    script = "from esync.cli.main import main; main(['show', 'é', '--id', 'ü'])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": ":".join(sys.path), "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"esync: ")
