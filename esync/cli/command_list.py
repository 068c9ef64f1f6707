"""`esync tasks`: a list of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from esync.cli.failure import ExitCode
from esync.cli.options import Error, Json, Names, Since, States
from esync.cli.output import say_json, say_table, time_text, warn
from esync.cli.session import Session
from esync.cli.values import parse_age, parse_states
from esync.snapshot import PENDING, Filter
from esync.task import check_key, check_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esync.driver import ConsoleDriver
    from esync.snapshot import TaskRow

_LONGEST_LIST = 100_000
_PAGE = 500

_HEADERS = (
    "STATE", "NAME", "KEY", "~>ATTEMPTS", ">TRIES", "~>PRIORITY", "~>CREATED", ">WHEN", "~WORKER",
    "~ID", "MESSAGE",
)  # fmt: skip


class _Rows(NamedTuple):
    rows: list[TaskRow]
    is_cut: bool
    unread: list[str]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tasks")(tasks)


def tasks(
    ctx: typer.Context,
    *,
    names: Names = None,
    states: States = None,
    key: Annotated[str | None, typer.Option(help="With exactly this key.")] = None,
    key_prefix: Annotated[str | None, typer.Option(help="With a key that starts so.")] = None,
    error: Error = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=_LONGEST_LIST)] = 50,
    as_json: Json = False,
) -> None:
    """List tasks: running ones, then pending in run order, then finished, newest first.

    WHEN is the next attempt of a pending task, and the last attempt of any other.
    """
    where = Filter(
        names=tuple(check_name(name) for name in names or ()),
        states=parse_states(states or ()),
        key=None if key is None else check_key(key),
        key_prefix=None if key_prefix is None else check_key(key_prefix),
        error=error,
        since=parse_age("--since", since),
    )
    with Session.of(ctx).driver() as driver:
        rows, is_cut, unread = _read(driver, where, limit=limit)
    if as_json:
        say_json({"tasks": rows, "is_cut": is_cut, "unread": unread})
    elif rows:
        say_tasks(rows)
    if is_cut:
        warn(f"more than these {len(rows)} tasks match; --limit shows more")
    if unread:
        warn(f"took too long to be read, and may be missing here: {', '.join(unread)}")
    if not rows and unread:
        raise typer.Exit(ExitCode.NO_DATABASE)
    if not rows:
        warn("no task matches")
        raise typer.Exit(ExitCode.NOTHING_DONE)


def say_tasks(rows: Sequence[TaskRow]) -> None:
    """Print tasks as a table."""
    say_table(_HEADERS, [_cells(row) for row in rows])


def _cells(row: TaskRow) -> tuple[str, ...]:
    return (
        row.state,
        row.name,
        row.key,
        str(row.attempts),
        str(row.tries),
        str(row.priority),
        time_text(row.created_at),
        time_text(row.do_after if row.state in PENDING else row.last_attempted),
        row.worker or "-",
        str(row.task_id),
        row.message,
    )


def _read(driver: ConsoleDriver, where: Filter, *, limit: int) -> _Rows:
    """Return up to `limit` rows, whether there are more, and what was not read."""
    page = driver.list_tasks(where, limit=min(limit, _PAGE))
    rows, unread = list(page.rows), dict.fromkeys(page.unread)
    while page.next is not None and len(rows) < limit:
        page = driver.list_tasks(where, limit=min(limit - len(rows), _PAGE), after=page.next)
        rows += page.rows
        unread |= dict.fromkeys(page.unread)
    return _Rows(rows[:limit], page.next is not None or len(rows) > limit, list(unread))
