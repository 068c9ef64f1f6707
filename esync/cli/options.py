"""The options that several commands share, so that each means the same everywhere."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit.")]
Name = Annotated[str | None, typer.Option(help="The task name.")]
Names = Annotated[list[str] | None, typer.Option("--name", help="Of this task name; repeatable.")]
States = Annotated[
    list[str] | None,
    typer.Option("--state", help="In this state; several with commas, or repeated."),
]
Error = Annotated[
    str | None, typer.Option(help="With this text in the last message; letter case is ignored.")
]
Since = Annotated[
    str | None, typer.Option(help="Attempted, or else created, within this time: 30m, 2h, 1d.")
]
Ids = Annotated[list[str] | None, typer.Option("--id", help="The id of a task; repeatable.")]

PLACE_OPTIONS = ("--dsn", "--table", "--schema")


def hoist(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with --dsn, --table and --schema first, wherever they were typed.

    So that `esync status --table app.queue` works as `esync --table app.queue status` does, without
    three more parameters on every command.
    """
    first, rest = _split(arguments)
    return first + rest


def called_command(arguments: Sequence[str]) -> str | None:
    """Return the word that stands where the command does, if one does."""
    _, rest = _split(arguments)
    return rest[0] if rest else None


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the options that say which queue, and everything else."""
    first: list[str] = []
    rest: list[str] = []
    pending = iter(arguments)
    for argument in pending:
        if argument == "--":
            rest += [argument, *pending]
        elif argument in PLACE_OPTIONS:
            first += [argument, *islice(pending, 1)]
        elif argument.startswith(tuple(f"{option}=" for option in PLACE_OPTIONS)):
            first.append(argument)
        else:
            rest.append(argument)
    return first, rest
