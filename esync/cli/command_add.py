"""`esync add`: one request from the command line."""

from __future__ import annotations

from typing import Annotated

import typer

from esync.cli.options import Json
from esync.cli.output import say, say_json
from esync.cli.session import Session
from esync.cli.values import parse_after, read_data
from esync.task import DEFAULT_PRIORITY
from esync.task_manager import TaskManager


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("add")(add)


def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The task name: what kind of work.")],
    key: Annotated[str, typer.Argument(help="The task key: which thing.")],
    *,
    data: Annotated[
        str | None,
        typer.Option("--data", help="A JSON object; - reads it from stdin.", metavar="JSON"),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(
            "--after", help="When it becomes due: 10m, or an ISO time with zone.", metavar="WHEN"
        ),
    ] = None,
    priority: Annotated[int, typer.Option(help="0 (first) to 9 (last).")] = DEFAULT_PRIORITY,
    as_json: Json = False,
) -> None:
    """Add a task and print its id."""
    content, moment = read_data(data), parse_after(after)
    session = Session.of(ctx)
    with session.open_driver(session.place(), purpose="cli") as driver:
        task = TaskManager(driver).new_task(name, key, content, after=moment, priority=priority)
        driver.add(task)
    if as_json:
        say_json({"id": task.task_id, "name": task.name, "key": task.key})
    else:
        say(str(task.task_id))
