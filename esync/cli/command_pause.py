"""`esync pause` and `esync resume`: runners, in the whole cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from esync.cli.failure import ExitCode
from esync.cli.options import Json, Reason
from esync.cli.output import say, say_json, warn
from esync.cli.session import Session
from esync.cli.values import parse_age
from esync.operations import Operations, describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esync.driver import ConsoleDriver
    from esync.snapshot import ActionResult

RunnerNames = Annotated[list[str], typer.Argument(metavar="NAME...", help="The task names.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("pause")(pause)
    app.command("resume")(resume)


def pause(
    ctx: typer.Context,
    names: RunnerNames,
    *,
    duration: Annotated[
        str | None, typer.Option("--for", help="Resume by itself after this time: 30m, 2h.")
    ] = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Stop popping the tasks of these names, in every worker, until resumed."""
    seconds = parse_age("--for", duration)
    with Session.of(ctx).driver() as driver:
        operations = Operations.of_this_user(driver, via="cli")
        result = operations.pause(names, reason=reason, resume_after=seconds)
        _warn_of_strangers(driver, result.names)
    _tell(result, as_json=as_json)


def resume(
    ctx: typer.Context, names: RunnerNames, *, reason: Reason = "", as_json: Json = False
) -> None:
    """Let the tasks of paused names run again."""
    with Session.of(ctx).driver() as driver:
        result = Operations.of_this_user(driver, via="cli").resume(names, reason=reason)
    _tell(result, as_json=as_json)


def _warn_of_strangers(driver: ConsoleDriver, names: Sequence[str]) -> None:
    """Say when a name is one that nobody has heard of, since it may be a slip of the pen."""
    known = {row.name for row in driver.get_overview().names if row.is_known}
    for name in names:
        if name not in known:
            warn(f"note: no worker has ever registered {name!r}")


def _tell(result: ActionResult, *, as_json: bool) -> None:
    if as_json:
        say_json(result)
    else:
        say(describe(result))
    if not result.names:
        raise typer.Exit(ExitCode.NOTHING_DONE)
