"""The command line as a process, on a real PostgreSQL."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import socket
import subprocess
import sys
from typing import NamedTuple
from uuid import UUID

import psycopg
import pytest
from fix_spawn import clean_environment
from psycopg import sql
from psycopg.conninfo import make_conninfo

from esync.cli.main import main

SECRET = "hunter2-ÜX"
SECRET_FORMS = ("hunter2", "%C3%9CX", "ÜX", "\\xdcX", "\\u00dcX")


class Output(NamedTuple):
    """What a command printed."""

    stdout: str
    stderr: str


@pytest.fixture
def esync(database, tmp_path, monkeypatch, capfd):
    """Run a command in this process, on a migrated database unless another is given."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0, dsn=database, env=None, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments, environ={**({"ESYNC_DSN": dsn} if dsn else {}), **(env or {})})
        output = Output(*capfd.readouterr())
        assert (ended.value.code or 0) == code, output.stderr
        return output

    return run


def test_a_task_is_added_seen_cancelled_requeued_and_audited(esync, driver):
    task_id = esync("add", "customer.sync", "42", "--data", '{"a": 1}').stdout.strip()
    assert task_id in esync("tasks").stdout
    assert '{"a": 1}' in esync("show", "42").stdout.replace('{"a":1}', '{"a": 1}')
    assert esync("cancel", "42", "--reason", "test").stdout == "cancelled 1\n"
    assert "it is CANCELLED" in esync("cancel", "42", code=1).stderr
    assert esync("requeue", "42").stdout == "requeued 1\n"
    assert esync("run-now", "--name", "customer.sync", "--yes").stdout == "will run now: 1\n"
    done = [(row.verb, row.reason) for row in driver.list_audit() if row.changed]
    assert done == [("run-now", ""), ("requeue", ""), ("cancel", "test")]


def test_a_role_that_may_only_insert_adds(esync, database, driver):
    name = f"only_adds_{os.getpid()}"
    role = sql.Identifier(name)
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {}").format(role))
        conn.execute(sql.SQL("GRANT INSERT ON message_queue TO {}").format(role))
        esync("add", "a", "1", dsn=make_conninfo(database, options=f"-c role={name}"))
        conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))
    assert driver.get_task_count() == 1


def test_bulk_actions_are_guarded(esync):
    for key in "123":
        esync("add", "a", key)
    assert "--yes" in esync("cancel", "--name", "a", code=2).stderr
    assert "3 tasks match" in esync("cancel", "--name", "a", "--yes", "--max", "2", code=3).stderr
    assert "3 a READY" in esync("cancel", "--name", "a", "--dry-run").stdout
    assert esync("cancel", "--name", "a", "--yes").stdout == "cancelled 3\n"
    assert esync("cancel", "--name", "a", "--yes", code=1).stdout == ""


def test_pause_and_resume_are_seen_in_the_status(esync):
    esync("add", "a", "1")
    esync("pause", "a", "--for", "1h", "--reason", "maintenance")
    assert "PAUSED by" in esync("status").stdout
    esync("resume", "a")
    assert "PAUSED" not in esync("status").stdout
    esync("resume", "a", code=1)


def test_json_of_every_reading_command(esync):
    esync("add", "a", "1")
    for command in (["status"], ["workers"], ["tasks"], ["show", "1"]):
        assert json.loads(esync(*command, "--json").stdout)


def test_data_is_piped_in(esync, driver):
    esync("add", "a", "1", "--data", "-", stdin='{"word": "é"}')
    assert "é" in driver.get_task(driver.find_tasks("1")[0].task_id).raw_data


def test_migrate_brings_an_empty_database_up_to_date(esync, empty_database):
    assert "esync migrate" in esync("status", dsn=empty_database, code=4).stderr
    esync("migrate", "--check", dsn=empty_database, code=4)
    assert "applied 001_" in esync("migrate", dsn=empty_database).stdout
    assert "up to date" in esync("migrate", dsn=empty_database).stdout
    esync("migrate", "--check", dsn=empty_database)
    esync("status", dsn=empty_database)


def test_migrate_makes_a_queue_with_a_name_of_its_own(esync, empty_database):
    with psycopg.connect(empty_database, autocommit=True) as conn:
        conn.execute("CREATE SCHEMA app")
    esync("migrate", "--table", "app.queue", dsn=empty_database)
    esync("add", "a", "1", "--table", "app.queue", dsn=empty_database)
    with psycopg.connect(empty_database) as conn:
        assert conn.execute("SELECT count(*) FROM app.queue").fetchone() == (1,)
    esync("status", dsn=empty_database, code=4)


def test_migrate_as_sql_needs_no_database(esync, empty_database):
    text = esync("migrate", "--sql", "--table", "q", dsn=None).stdout
    with psycopg.connect(empty_database, autocommit=True) as conn:
        conn.execute(text.encode())
    esync("add", "a", "1", "--table", "q", dsn=empty_database)


@pytest.mark.parametrize("module", ["esync", "esync.cli"])
def test_a_process_is_as_good(spawn, database, driver, module):
    process = spawn("add", "a", "1", "--data", "-", dsn=database, stdin='{"b": 2}', module=module)
    assert process.wait() == 0
    assert driver.find_tasks("1")[0].task_id == UUID(process.stdout.strip())
    assert process.stderr == ""


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


FAILING_DSNS = [
    "postgresql://me:{secret}@127.0.0.1:{port}/db",
    "postgresql://me:{secret}@nowhere.invalid/db?connect_timeout=2",
    "postgresql://me:{secret}@127.0.0.1:{port}/db?nosuchoption=1",
    "postgresql://me:{secret}@127.0.0.1:notaport/db",
    "postgresql://me:{secret}@[::1/db",
    "postgresql://me:{secret}@127.0.0.1:{port},127.0.0.1:{port}/db",
    "postgresql://me:hunter2%C3%9CX@127.0.0.1:{port}/db",
    "postgresql://me:hunter2%zz@127.0.0.1:{port}/db",
    "postgresql://127.0.0.1:{port}/db?user=me&password={secret}",
    "host=127.0.0.1 port={port} password={secret} user=me",
    "host=127.0.0.1 port={port} password='{secret} with spaces' user=me",
    "host=127.0.0.1 port={port} password={secret} oops user=me",
    "host=127.0.0.1 port={port} password='{secret}",
    "host=127.0.0.1 port=x password={secret}",
    "service=nosuchservice password={secret}",
]


@pytest.mark.parametrize("dsn", FAILING_DSNS)
@pytest.mark.parametrize("command", ["status", "migrate"])
def test_no_failing_dsn_shows_its_password(capfd, caplog, dsn, command):
    dsn = dsn.format(secret=SECRET, port=closed_port())
    with pytest.raises(SystemExit) as ended:
        main([command], environ={"ESYNC_DSN": dsn})
    out, err = capfd.readouterr()
    assert ended.value.code in (2, 4)
    assert err.count("\n") == 1
    assert not [form for form in SECRET_FORMS if form in out + err + caplog.text]


def test_the_variables_of_the_original_are_understood(esync, database):
    info = psycopg.conninfo.conninfo_to_dict(database)
    env = {
        "DB_HOST": info["host"],
        "DB_USER": info["user"],
        "DB_DB": info["dbname"],
        "DB_PORT": info.get("port", "5432"),
        "DB_TABLE": "message_queue",
    }
    if info.get("password"):
        env["DB_PASS"] = info["password"]
    esync("add", "a", "1", dsn=None, env=env)


HOSTILE = "\x1b]52;c;eA==\x07\x1b]0;title\x07\x1b[2J\x9b31m\u202e[/b][red]"
SGR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("command", [["status"], ["tasks"], ["show", "k"]])
def test_on_a_terminal_only_colours_are_sent(database, command):
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO message_queue"
            " (task_name, task_key, state, last_attempt_message, last_attempted, created_by, data)"
            " VALUES (%s, 'k', 'FAILED', %s, now(), %s, jsonb_build_object('a', %s::text))",
            (HOSTILE[:60], HOSTILE, HOSTILE, HOSTILE),
        )
    control, terminal = pty.openpty()
    environ = {**clean_environment(), "ESYNC_DSN": database, "TERM": "xterm-256color"}
    with subprocess.Popen(
        [sys.executable, "-m", "esync.cli", *command],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        shown = _read_all(control)
    assert process.returncode == 0
    rest = SGR.sub("", shown).replace("\r\n", "")
    assert not [char for char in rest if char < " " or "\x7f" <= char < "\xa0" or char == "\u202e"]


def _read_all(control):
    parts = []
    try:
        while part := os.read(control, 65536):
            parts.append(part)
    except OSError:  # Linux's way to say that the other side is closed
        pass
    finally:
        os.close(control)
    return b"".join(parts).decode()
