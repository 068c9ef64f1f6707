"""`esync status` and `esync workers`: the queue at this moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from esync.cli.options import Json
from esync.cli.output import (
    UNREAD,
    age_text,
    count_text,
    running_text,
    say,
    say_json,
    say_table,
    time_text,
)
from esync.cli.session import Session
from esync.problems import find_problems
from esync.snapshot import rate_per_minute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esync.problems import Problem
    from esync.snapshot import LastMessage, NameRow, Overview, WorkerRow

_STATUS_HEADERS = (
    "NAME", ">READY", "~>SCHEDULED", ">RUNNING", ">RETRY", ">FAILED", ">OLDEST", ">DONE/MIN",
    "~>AVERAGE", "~>WORKERS", "~RUNNER", "LAST MESSAGE",
)  # fmt: skip
_WORKER_HEADERS = (
    "WORKER", "~ID", ">RUNNING", ">SLOTS", ">STARTED", ">HEARTBEAT", "STATE", "~VERSION", "NAMES",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("status")(status)
    app.command("workers")(workers)


def status(ctx: typer.Context, *, as_json: Json = False) -> None:
    """Show what waits, runs and fails, per task name, and what is wrong."""
    with Session.of(ctx).driver() as driver:
        overview = driver.get_overview()
    problems = find_problems(overview)
    if as_json:
        say_json({"overview": overview, "problems": problems})
    else:
        _tell(overview, problems)


def workers(ctx: typer.Context, *, as_json: Json = False) -> None:
    """Show the workers, dead ones that were not rescued yet included."""
    with Session.of(ctx).driver() as driver:
        rows = driver.list_workers()
    if as_json:
        say_json({"workers": rows})
    elif rows:
        say_table(_WORKER_HEADERS, [_worker_cells(row) for row in rows])
    else:
        say("no worker is running")


def _tell(overview: Overview, problems: Sequence[Problem]) -> None:
    if overview.names:
        say_table(
            _STATUS_HEADERS, [_name_cells(row, second=overview.at.second) for row in overview.names]
        )
    elif overview.is_partial:
        say("no worker has registered a task name yet, and what the queue holds could not be read")
    else:
        say("the queue is empty, and no worker has registered a task name yet")
    alive = sum(worker.has_lease for worker in overview.workers)
    say(f"{time_text(overview.at)}, {alive} live {'worker' if alive == 1 else 'workers'}")
    for problem in problems:
        say(f"{problem.severity}: {problem.text}")


def _name_cells(row: NameRow, *, second: int) -> tuple[str, ...]:
    return (
        row.name,
        count_text(row.ready),
        count_text(row.scheduled),
        running_text(row.running),
        count_text(row.retry),
        count_text(row.failed),
        UNREAD if row.is_unread else age_text(row.oldest_seconds),
        f"{rate_per_minute(row.done, second=second):,}",
        "-" if row.average_seconds is None else f"{row.average_seconds:.3f}s",
        str(row.workers),
        _runner_text(row),
        UNREAD if row.is_unread and row.last is None else _last_text(row.last),
    )


def _runner_text(row: NameRow) -> str:
    if row.pause is not None:
        back = row.pause.resumes_in
        until = "" if back is None else f", resumes in {age_text(back)}"
        why = f": {row.pause.reason}" if row.pause.reason else ""
        return f"PAUSED by {row.pause.by}{until}{why}"
    parts = ([f"limit {row.limit}"] if row.limit else []) + (
        [f"stream {row.stream}"] if row.stream else []
    )
    return ", ".join(parts) or "-"


def _last_text(last: LastMessage | None) -> str:
    if last is None:
        return "-"
    return f"{age_text(last.seconds)} ago {last.state} {last.key}: {last.message}"


def _worker_cells(row: WorkerRow) -> tuple[str, ...]:
    return (
        f"{row.host}:{row.pid}",
        str(row.worker_id),
        running_text(row.running),
        str(row.slots),
        age_text(row.started_seconds),
        age_text(row.heartbeat_seconds),
        _worker_state(row),
        row.version,
        ", ".join(row.names),
    )


def _worker_state(row: WorkerRow) -> str:
    if row.is_leaving:
        return "leaving"
    return "live" if row.has_lease else "dead"
