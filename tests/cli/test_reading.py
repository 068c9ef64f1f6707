"""`esync status`, `workers`, `tasks` and `show`."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from fix_console import FakeDriver, name_row, task_row, unread_row, worker_row

from esync.task import TaskState
from esync.task_manager import TaskManager

HOSTILE = (
    "[/b] [@click=app.quit]x {a} %s \x1b]52;c;eA==\x07 \x1b[2J \x9b31m \x08\r\n\u202egnp.exe \u2066"
    " \u200b\ufeff 漢字 e\u0301"
)
KEY = "[/b]\u202e漢字"


def columns(output):
    """The rows of a table as dicts; cells are two spaces apart, and none of ours is empty."""
    head, *rows = output.splitlines()
    return [dict(zip(head.split(), row.split(), strict=False)) for row in rows]


def test_status_of_an_empty_queue_says_so(cli):
    result = cli("status")
    assert result.code == 0
    assert "no worker has registered a task name yet" in result.out


def test_status_counts_by_name(cli):
    cli.queue.fail("1")
    cli.queue.add("2")
    cli.queue.add("3", after=60)
    cli.queue.run("4", name="invoice.push")
    result = cli("status")
    lines = columns("\n".join(result.out.splitlines()[:3]))
    assert [(row["NAME"], row["READY"], row["SCHEDULED"], row["FAILED"]) for row in lines] == [
        ("customer.sync", "1", "1", "1"),
        ("invoice.push", "0", "0", "0"),
    ]
    assert lines[1]["RUNNING"] == "1"
    assert "1 live worker" in result.out


def test_status_shows_the_last_message_and_the_pause(cli):
    cli.queue.fail("1", "HTTP 429")
    cli("pause", "customer.sync", "--reason", "partner is down", "--for", "1h")
    out = cli("status").out
    assert "FAILED 1: HTTP 429" in out
    assert "PAUSED by" in out
    assert "partner is down" in out


def test_status_tells_problems(cli):
    cli.queue.add("1", name="nobody.knows")
    assert "warning: nobody.knows: no worker has ever registered it" in cli("status").out


def test_status_as_json(cli):
    cli.queue.fail("1", HOSTILE)
    result = cli("status", "--json")
    assert result.out.isascii()
    row = result.json["overview"]["names"][0]
    assert (row["name"], row["failed"]) == ("customer.sync", {"value": 1, "precision": "exact"})
    assert row["last"]["message"] == HOSTILE
    assert result.json["problems"] == []


def test_status_has_the_rate_of_the_last_minute(cli):
    at = datetime(2026, 11, 27, 12, 0, 30, tzinfo=UTC)
    cli.queue.driver = FakeDriver(names=(name_row(done=(0, 0, 60, 30)),), at=at)
    assert columns(cli("status").out)[0]["DONE/MIN"] == "60"


@pytest.fixture
def unread(cli):
    """A queue of which there was no time to read what runs and waits."""
    cli.queue.driver = FakeDriver(
        names=(unread_row(),),
        workers=(worker_row(running=None),),
        rows=(task_row(),),
        unread=("IN PROGRESS", "READY, RETRY"),
    )
    return cli.queue.driver


def test_status_shows_what_was_not_read_as_unread(cli, unread):
    out = cli("status").out
    row = columns(out)[0]
    shown = [row[head] for head in ("READY", "SCHEDULED", "RUNNING", "RETRY", "FAILED", "OLDEST")]
    assert shown == ["?"] * 6
    assert "counts took too long to be read: a transaction is open for 11m00s" in out
    unread.names = ()
    assert "what the queue holds could not be read" in cli("status").out


@pytest.mark.usefixtures("unread")
def test_status_as_json_says_what_was_not_read(cli):
    overview = cli("status", "--json").json["overview"]
    assert overview["is_partial"]
    assert overview["names"][0]["ready"]["precision"] == "unread"
    assert overview["names"][0]["running"] is overview["workers"][0]["running"] is None


@pytest.mark.usefixtures("unread")
def test_workers_show_what_runs_on_them_as_unread(cli):
    assert columns(cli("workers").out)[0]["RUNNING"] == "?"


def test_tasks_say_what_may_be_missing(cli, unread):
    result = cli("tasks")
    assert (result.code, len(columns(result.out))) == (0, 1)
    assert "took too long to be read, and may be missing here: IN PROGRESS" in result.err
    assert cli("tasks", "--json").json["unread"] == ["IN PROGRESS", "READY, RETRY"]
    unread.rows = ()
    result = cli("tasks")
    assert (result.code, "no task matches" in result.err) == (4, False)


def test_workers(cli):
    assert cli("workers").out == "no worker is running\n"
    cli.queue.run("1")
    row = columns(cli("workers").out)[0]
    assert (row["WORKER"], row["RUNNING"], row["SLOTS"], row["STATE"]) == (
        "web-1:7",
        "1",
        "4",
        "live",
    )
    assert cli("workers", "--json").json["workers"][0]["worker_id"] == str(cli.queue.worker_id)


def test_a_silent_worker_is_shown_dead(cli):
    cli.queue.run("1")
    cli.queue.driver.let_pass(60)
    assert columns(cli("workers").out)[0]["STATE"] == "dead"


def test_tasks_are_listed_with_their_ids(cli):
    task_id = cli.queue.fail("1", "HTTP 500")
    row = columns(cli("tasks").out)[0]
    assert (row["STATE"], row["NAME"], row["KEY"]) == ("FAILED", "customer.sync", "1")
    assert str(task_id) in cli("tasks").out


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ([], "1 2 3 4"),
        (["--state", "failed"], "1 2"),
        (["--state", "Failed,in-progress"], "1 2 4"),
        (["--state", "FAILED", "--state", "in progress"], "1 2 4"),
        (["--name", "b"], "2 3"),
        (["--name", "b", "--name", "a"], "1 2 3 4"),
        (["--key", "3"], "3"),
        (["--key-prefix", "4"], "4"),
        (["--error", "http 5"], "1"),
        (["--error", "100%"], "2"),
        (["--since", "1h", "--state", "FAILED"], "1 2"),
    ],
)
def test_tasks_are_selected(cli, options, keys):
    cli.queue.fail("1", "HTTP 500", name="a")
    cli.queue.fail("2", "100% (of [it", name="b")
    cli.queue.add("3", name="b")
    cli.queue.run("4", name="a")
    rows = cli("tasks", "--json", *options).json["tasks"]
    assert sorted(row["key"] for row in rows) == keys.split()


def test_tasks_are_cut_at_the_limit_and_say_so(cli):
    for number in range(4):
        cli.queue.add(str(number))
    result = cli("tasks", "--limit", "3")
    assert len(columns(result.out)) == 3
    assert "more than these 3 tasks match" in result.err
    assert cli("tasks", "--limit", "4").err == ""


def test_a_limit_beyond_one_page_is_served(cli):
    cli.queue.manager.add_tasks(("a", str(number)) for number in range(1203))
    result = cli("tasks", "--limit", "1201", "--json").json
    assert len({row["task_id"] for row in result["tasks"]}) == 1201
    assert result["is_cut"]


@pytest.mark.parametrize("options", [["--state", "DONE"], ["--json"]])
def test_no_match_exits_1(cli, options):
    result = cli("tasks", *options)
    assert result.code == 1
    assert result.err == "esync: no task matches\n"


@pytest.mark.parametrize(
    "options",
    [
        ["--state", "X"], ["--state", ""], ["--state", "READY,"], ["--since", "-1h"],
        ["--since", "0"], ["--since", "abc"], ["--name", ""], ["--key", "x" * 65],
        ["--key", "\x1b"],
    ],
)  # fmt: skip
def test_bad_selections_exit_2_with_one_line(cli, options):
    result = cli("tasks", *options)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert "\x1b" not in result.err


def test_a_bad_state_is_told_the_closed_set(cli):
    assert "READY, IN PROGRESS, RETRY, DONE, FAILED, CANCELLED" in cli("tasks", "--state", "X").err


def test_piped_tables_are_not_cut(cli):
    cli.queue.fail("1", "x" * 290)
    assert "x" * 290 in cli("tasks").out


def test_show_tells_everything(cli):
    cli.queue.add("1", data={"a": [1, 2]})
    task_id = cli.queue.fail("1", "HTTP 500")
    out = cli("show", "1").out
    for part in (str(task_id), "FAILED", "HTTP 500", "by tests", "web-1:7", "requests of this key"):
        assert part in out
    assert "CANCELLED" in out  # the first request, superseded by the second


def test_show_by_id_shows_exactly_that_one(cli):
    first = cli.queue.add("1", data={"a": [1, 2]})
    cli.queue.add("1")
    result = cli("show", "--id", str(first), "--json").json
    assert result["task"]["row"]["task_id"] == str(first)
    assert result["data"] == {"a": [1, 2]}
    assert len(result["task"]["history"]) == 2


def test_show_has_long_data_whole(cli):
    cli.queue.add("1", data={"long": "x" * 200_000})
    assert "x" * 200_000 in cli("show", "1").out
    assert cli("show", "1", "--json").json["data"] == {"long": "x" * 200_000}


def test_show_says_when_data_is_too_long_to_be_printed(cli):
    producer = TaskManager(cli.queue.driver, data_limit_bytes=20_000_000)
    producer.add_task("customer.sync", "1", {"long": "x" * 10_000_000})
    assert "(cut: all are 10,000,011 characters; --json has them)" in cli("show", "1").out
    result = cli("show", "1", "--json").json
    assert len(result["data"]["long"]) == 10_000_000
    assert result["task"]["data_length"] == 10_000_011


def test_show_of_a_key_of_several_names_needs_the_name(cli):
    cli.queue.add("1", name="a")
    cli.queue.add("1", name="b")
    result = cli("show", "1")
    assert (result.code, result.out) == (2, "")
    assert "--name: a, b" in result.err
    assert "name:           b" in cli("show", "1", "--name", "b").out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nokey"], 1),
        (["--id", str(uuid4())], 1),
        (["--id", "5"], 2),
        (["--id", "1; DROP TABLE x"], 2),
        (["--id", "9223372036854775808"], 2),
        ([], 2),
        (["k", "--id", str(uuid4())], 2),
    ],
)
def test_show_of_nothing(cli, arguments, code):
    result = cli("show", *arguments)
    assert (result.code, result.out) == (code, "")
    assert result.err.count("\n") == 1


def assert_is_harmless(text):
    """Fail on anything that acts on a terminal or hides, line feeds excepted."""
    for char in text.replace("\n", ""):
        assert unicodedata.category(char) not in ("Cc", "Cs"), hex(ord(char))
        assert (
            char not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\ufeff\u200f"
        )


@pytest.mark.parametrize(
    "command",
    [
        ["status"], ["tasks"], ["workers"], ["show", KEY], ["show", "\u202enokey"],
        ["cancel", KEY], ["requeue", KEY, "--dry-run"], ["requeue", "--name", KEY, "--dry-run"],
        ["requeue", KEY, "--reason", HOSTILE], ["pause", KEY, "--reason", HOSTILE],
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", [[], ["--json"]])
def test_hostile_text_reaches_no_terminal(cli, command, ending):
    cli.queue.manager.add_tasks([(KEY, KEY, {"a": HOSTILE})])
    cli.queue.end(KEY, TaskState.FAILED, HOSTILE, name=KEY)
    cli.queue.driver.pause([KEY], by=_by(HOSTILE))
    result = cli(*command, *ending)
    assert_is_harmless(result.out + result.err)
    assert result.code in (0, 1)
    if ending:
        assert result.out.isascii()


def _by(reason):
    from esync.snapshot import Attribution  # noqa: PLC0415 - beside its use

    return Attribution(who=reason, host=reason, via="cli", reason=reason)


def test_markup_is_shown_as_it_is(cli):
    cli.queue.fail("[red]k[/red]", "[link=x]:smile:[/b]")
    assert "[red]k[/red]" in cli("tasks").out
    assert "[link=x]:smile:[/b]" in cli("tasks").out
