"""`esync requeue`, `cancel`, `run-now`, `pause` and `resume`."""

from __future__ import annotations

from uuid import uuid4

import pytest

from esync.task import TaskState


def test_requeue_of_a_key_takes_its_newest_request(cli):
    older, newest = cli.queue.fail("1"), cli.queue.fail("1")
    assert cli("requeue", "1") == (0, "requeued 1\n", "")
    assert (cli.queue.state(older), cli.queue.state(newest)) == ("FAILED", "READY")


def test_cancel_and_run_now_of_a_key(cli):
    task_id = cli.queue.add("1", after=600)
    assert cli("run-now", "1") == (0, "will run now: 1\n", "")
    assert cli("cancel", "1") == (0, "cancelled 1\n", "")
    assert cli.queue.state(task_id) == "CANCELLED"


def test_cancel_of_a_running_task_says_that_it_was_only_asked(cli):
    cli.queue.run("1")
    result = cli("cancel", "1")
    assert result.code == 0
    assert "asked 1 running handler to stop (it may finish all the same)" in result.out


@pytest.mark.parametrize(
    ("verb", "state"), [("requeue", "RETRY"), ("cancel", "DONE"), ("run-now", "FAILED")]
)
@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_state_that_does_not_allow_it_exits_1_with_the_reason(cli, verb, state, options):
    cli.queue.end("1", TaskState(state))
    result = cli(verb, "1", *options)
    assert (result.code, result.out) == (1, "")
    assert result.err == f"esync: cannot {verb} customer.sync '1': it is {state}\n"


def test_an_unknown_key_or_id_exits_1(cli):
    assert cli("requeue", "1").code == 1
    assert cli("requeue", "--id", str(uuid4())).code == 1


def test_an_id_names_one_task(cli):
    older, _ = cli.queue.fail("1"), cli.queue.fail("1")
    assert cli("requeue", "--id", str(older)).code == 0
    assert cli.queue.state(older) == "READY"


def test_the_name_tells_a_key_of_several_names_apart(cli):
    cli.queue.fail("1", name="a")
    wanted = cli.queue.fail("1", name="b")
    assert cli("requeue", "1").code == 2
    assert cli("requeue", "1", "--name", "b").code == 0
    assert cli.queue.state(wanted) == "READY"


def test_bulk_needs_yes_without_a_terminal(cli):
    task_id = cli.queue.fail("1")
    result = cli("requeue", "--name", "customer.sync")
    assert (result.code, result.out) == (2, "")
    assert "--yes" in result.err
    assert cli.queue.state(task_id) == "FAILED"


def test_bulk_requeue_takes_failed_ones_without_a_newer_request(cli):
    old, other, done = (cli.queue.fail(key) for key in "123")
    cli.queue.add("1")
    done = cli.queue.end("4", TaskState.DONE)
    result = cli("requeue", "--name", "customer.sync", "--yes")
    assert result == (0, "requeued 2, skipped 1 (1 newer request)\n", "")
    assert [cli.queue.state(i) for i in (old, other, done)] == ["FAILED", "READY", "DONE"]


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (["--error", "http 429"], "1"),
        (["--state", "failed"], "12"),
        (["--state", "cancelled", "--name", "b"], "3"),
        (["--name", "b"], "2"),
        (["--since", "1h"], "12"),
    ],
)
def test_bulk_selections(cli, options, keys):
    ids = {
        "1": cli.queue.fail("1", "HTTP 429", name="a"),
        "2": cli.queue.fail("2", "HTTP 500", name="b"),
        "3": cli.queue.end("3", TaskState.CANCELLED, name="b"),
    }
    assert cli("requeue", "--yes", *options).code == 0
    assert "".join(key for key, i in ids.items() if cli.queue.state(i) == "READY") == keys


def test_bulk_cancel_takes_pending_and_running_ones(cli):
    cli.queue.run("1")
    cli.queue.add("2")
    result = cli("cancel", "--name", "customer.sync", "--yes", "--json").json
    assert (len(result["changed"]), len(result["asked"])) == (1, 1)


def test_several_ids_are_a_bulk(cli):
    ids = [cli.queue.fail(key) for key in "12"]
    options = [f"--id={i}" for i in [*ids, uuid4()]]
    assert cli("requeue", *options).code == 2
    result = cli("requeue", *options, "--yes")
    assert (result.code, result.out) == (0, "requeued 2\n")
    assert "no task has the id" in result.err


def test_more_than_max_exits_3_and_changes_nothing(cli):
    ids = [cli.queue.fail(str(number)) for number in range(4)]
    for options in ([], ["--dry-run"]):
        result = cli("requeue", "--state", "FAILED", "--yes", "--max", "3", *options)
        assert (result.code, result.out) == (3, "")
        assert "4 tasks match, more than the maximum of 3" in result.err
    assert {cli.queue.state(i) for i in ids} == {"FAILED"}
    assert cli("requeue", "--state", "FAILED", "--yes", "--max", "4").code == 0


def test_no_match_exits_1(cli):
    result = cli("requeue", "--name", "a", "--yes")
    assert (result.code, result.err) == (1, "esync: no task matches; nothing was changed\n")


def test_nothing_changed_exits_1_and_says_why(cli):
    cli.queue.fail("1")
    cli.queue.add("1")
    result = cli("requeue", "--state", "FAILED", "--yes")
    assert (result.code, result.out) == (1, "requeued 0, skipped 1 (1 newer request)\n")


def test_a_dry_run_changes_nothing(cli):
    ids = [cli.queue.fail(str(number)) for number in range(7)]
    result = cli("requeue", "--name", "customer.sync", "--dry-run")
    assert result.code == 0
    assert "would requeue: 7 customer.sync FAILED, such as" in result.out
    single = cli("requeue", "3", "--dry-run", "--json").json
    assert [target["key"] for target in single["matched"]] == ["3"]
    assert {cli.queue.state(i) for i in ids} == {"FAILED"}


@pytest.mark.parametrize("answer", ["y\n", "yes\n", "Y\n"])
@pytest.mark.parametrize("which", [["1"], ["--name", "customer.sync"]])
def test_a_person_is_asked_and_says_yes(cli, answer, which):
    task_id = cli.queue.fail("1")
    result = cli("requeue", *which, typed=answer)
    assert (result.code, result.out) == (0, "requeued 1\n")
    assert result.err.endswith("[y/N] ")
    assert cli.queue.state(task_id) == "READY"


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "yep\n", "\x1b[A\n"])
@pytest.mark.parametrize("which", [["1"], ["--name", "customer.sync"]])
def test_anything_but_yes_changes_nothing(cli, answer, which):
    task_id = cli.queue.fail("1")
    result = cli("requeue", *which, typed=answer)
    assert (result.code, result.out) == (1, "")
    assert "nothing was changed" in result.err
    assert cli.queue.state(task_id) == "FAILED"


def test_the_question_says_what_is_about_to_happen(cli):
    cli.queue.fail("1")
    cli.queue.fail("2", name="b")
    assert "requeue customer.sync '1' (FAILED)?" in cli("requeue", "1", typed="").err
    err = cli("requeue", "--state", "FAILED", typed="").err
    assert "1 b FAILED, 1 customer.sync FAILED, keys" in err


def test_yes_asks_nobody(cli):
    cli.queue.fail("1")
    assert cli("requeue", "1", "--yes", typed="") == (0, "requeued 1\n", "")


def test_the_reason_is_audited(cli):
    cli.queue.fail("1")
    cli("requeue", "1", "--reason", "partner is back")
    row = cli.queue.driver.list_audit()[0]
    assert (row.reason, row.via) == ("partner is back", "cli")


@pytest.mark.parametrize(
    "options",
    [
        [], ["--yes"], ["k", "--state", "FAILED"], ["k", "--since", "1h"], ["k", "--error", "x"],
        ["k", "--id", str(uuid4())], ["k", "--name", "a", "--name", "b"], ["--id", "5"],
        ["--id", str(uuid4()), "--name", "a"], ["--state", "x"], ["--since", "x"], ["x" * 65],
    ],
)  # fmt: skip
def test_wrong_use_exits_2_with_one_line(cli, options):
    result = cli("requeue", *options)
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1


def test_pause_and_resume(cli):
    cli.queue.run("1")
    assert (
        cli("pause", "customer.sync", "--for", "30m", "--reason", "r").out
        == "paused customer.sync\n"
    )
    pause = cli.queue.driver.get_overview().names[0].pause
    assert pause.reason == "r"
    assert 1700 < pause.resumes_in <= 1800
    assert cli("resume", "customer.sync") == (0, "resumed customer.sync\n", "")
    assert cli.queue.driver.get_overview().names[0].pause is None


def test_resume_of_what_is_not_paused_exits_1(cli):
    result = cli("resume", "a", "--json")
    assert result.code == 1
    assert result.json["skipped"][0]["key"] == "a"


def test_pausing_a_name_that_nobody_has_heard_of_is_noted(cli):
    result = cli("pause", "custmer.sync")
    assert result.code == 0
    assert "no worker has ever registered 'custmer.sync'" in result.err


@pytest.mark.parametrize("options", [["--for", "0"], ["--for", "-1m"], ["--for", "soon"]])
def test_a_bad_time_to_pause_exits_2(cli, options):
    assert cli("pause", "a", f"{options[0]}={options[1]}").code == 2


@pytest.mark.parametrize("command", ["pause", "resume"])
@pytest.mark.parametrize("name", ["", "x" * 65, "a\x1b"])
def test_bad_names_exit_2(cli, command, name):
    assert cli(command, name).code == 2
