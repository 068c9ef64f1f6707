"""`esync show`: everything about one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from esync.cli.command_list import say_tasks
from esync.cli.options import Json, Name
from esync.cli.output import BLOCK_LIMIT, say, say_block, say_json, say_pairs, time_text
from esync.cli.session import Session
from esync.cli.values import parse_ids
from esync.errors import TaskNotFoundError, TaskValueError
from esync.operations import Operations
from esync.payload import decode_data
from esync.snapshot import DETAIL_DATA_LIMIT

if TYPE_CHECKING:
    from esync.driver import ConsoleDriver
    from esync.snapshot import TaskDetail


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("show")(show)


def show(
    ctx: typer.Context,
    key: Annotated[str | None, typer.Argument(help="The key; its newest request is shown.")] = None,
    *,
    task_id: Annotated[str | None, typer.Option("--id", help="The id of a task.")] = None,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Show a task with its data, its errors and the other requests of its key."""
    if (key is None) == (task_id is None):
        raise TaskValueError("which task? give a KEY or --id, one of them")
    ids = parse_ids([task_id] if task_id else ())
    with Session.of(ctx).driver() as driver:
        if key is not None:
            operations = Operations.of_this_user(driver, via="cli")
            ids = (operations.newest(key, name=name).task_id,)
        limit = None if as_json else BLOCK_LIMIT
        detail = get_detail(driver, ids[0], data_limit=limit)
    if as_json:
        say_json({"task": detail, "data": _data(detail)})
    else:
        _tell(detail)


def get_detail(
    driver: ConsoleDriver, task_id: Any, *, data_limit: int | None = DETAIL_DATA_LIMIT
) -> TaskDetail:
    """Return a task with so many characters of its data, or raise TaskNotFoundError."""
    detail = driver.get_task(task_id, data_limit=data_limit)
    if detail is None:
        raise TaskNotFoundError(f"no task has the id {task_id}")
    return detail


def _data(detail: TaskDetail) -> dict[str, Any] | None:
    """Return the decoded data; None for what is cut or cannot be decoded: raw_data shows it."""
    try:
        return decode_data(detail.raw_data)
    except ValueError:
        return None


def _tell(detail: TaskDetail) -> None:
    row = detail.row
    pairs = {
        "task": str(row.task_id),
        "name": row.name,
        "key": row.key,
        "state": row.state,
        "message": detail.message,
        "attempts": f"{row.attempts} ({row.tries} tries since the last requeue,"
        f" {row.crashes} crashes)",
        "priority": str(row.priority),
        "created": f"{time_text(row.created_at)} by {row.created_by}",
        "due": time_text(row.do_after),
        "last attempted": time_text(row.last_attempted),
        "worker": row.worker or "-",
    }
    if row.superseded_by:
        pairs["superseded by"] = str(row.superseded_by)
    if row.cancel_requested:
        pairs["cancel asked"] = row.cancel_requested
    if row.has_newer:
        pairs["newer request"] = "yes"
    say_pairs(pairs)
    say("")
    say("data:")
    say_block(detail.raw_data)
    if detail.is_data_cut:
        say(f"(cut: all are {detail.data_length:,} characters; --json has them)")
    _tell_errors(detail)
    say("")
    say("requests of this key, newest first:")
    say_tasks(detail.history)


def _tell_errors(detail: TaskDetail) -> None:
    for error in detail.errors:
        say("")
        say(
            f"attempt {error.get('attempt', '?')} at {error.get('at', '?')}:"
            f" {error.get('outcome', '?')} {error.get('message', '')}"
        )
        if error.get("traceback"):
            say_block(str(error["traceback"]))
