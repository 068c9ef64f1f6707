"""`esync requeue`, `esync cancel` and `esync run-now`: one task, or all that match."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from esync.cli.ask import ask, is_typed
from esync.cli.command_show import get_detail
from esync.cli.failure import ExitCode
from esync.cli.options import Error, Ids, Json, Names, Reason, Since, States
from esync.cli.output import say, say_json, warn
from esync.cli.session import Session
from esync.cli.values import parse_age, parse_ids, parse_states
from esync.errors import StateError, TaskNotFoundError, TaskValueError
from esync.operations import DEFAULT_MAXIMUM, Operations, Target, describe
from esync.snapshot import FINISHED, PENDING, ActionVerb, Filter
from esync.task import TaskState, check_key, check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from esync.driver import ConsoleDriver
    from esync.snapshot import ActionResult

_HIGHEST_MAXIMUM = 1_000_000
_SAMPLE = 5

_HELP = {
    ActionVerb.REQUEUE: "Make finished tasks READY again, due now. In bulk: FAILED ones, unless"
    " --state says otherwise, and never one whose key has a newer request.",
    ActionVerb.CANCEL: "Cancel pending tasks, and ask the handlers of running ones to stop.",
    ActionVerb.RUN_NOW: "Put pending tasks before every other one of their name.",
}
_ALLOWED: dict[ActionVerb, tuple[TaskState, ...]] = {
    ActionVerb.REQUEUE: FINISHED,
    ActionVerb.CANCEL: (*PENDING, TaskState.IN_PROGRESS),
    ActionVerb.RUN_NOW: PENDING,
}
_BULK_STATES = _ALLOWED | {ActionVerb.REQUEUE: (TaskState.FAILED,)}
"""What a bulk action selects when no --state is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A verb, and how it is to be carried out."""

    verb: ActionVerb
    reason: str
    maximum: int
    is_dry: bool
    is_sure: bool
    """--yes was given."""
    as_json: bool


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for verb, text in _HELP.items():
        app.command(verb.value, help=text)(_command(verb))


def _command(verb: ActionVerb) -> Callable[..., None]:
    def command(
        ctx: typer.Context,
        key: Annotated[
            str | None, typer.Argument(help="The key; its newest request is meant.")
        ] = None,
        *,
        ids: Ids = None,
        names: Names = None,
        states: States = None,
        error: Error = None,
        since: Since = None,
        reason: Reason = "",
        maximum: Annotated[
            int,
            typer.Option("--max", help="Refuse if more match.", min=1, max=_HIGHEST_MAXIMUM),
        ] = DEFAULT_MAXIMUM,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be.")] = False,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
        as_json: Json = False,
    ) -> None:
        change = Change(
            verb=verb,
            reason=reason,
            maximum=maximum,
            is_dry=dry_run,
            is_sure=yes,
            as_json=as_json,
        )
        where = Filter(
            names=tuple(check_name(name) for name in names or ()),
            states=parse_states(states or ()),
            key=None if key is None else check_key(key),
            error=error,
            since=parse_age("--since", since),
            ids=parse_ids(ids or ()),
        )
        _run(Session.of(ctx), change, where)

    return command


def _run(session: Session, change: Change, where: Filter) -> None:
    is_single = where.key is not None or len(where.ids) == 1
    if is_single:
        _check_single(where)
    else:
        _check_bulk(change, where)
    with session.driver() as driver:
        operations = Operations.of_this_user(driver, via="cli")
        if is_single:
            _change_one(operations, change, _find_one(driver, operations, where))
        else:
            _change_many(operations, change, where)


def _check_single(where: Filter) -> None:
    if where.states or where.error is not None or where.since is not None:
        raise TaskValueError(
            "KEY or --id names one task: --state, --error and --since select many, give either"
        )
    if where.key is not None and where.ids:
        raise TaskValueError("KEY and --id both name a task, give one of them")
    if len(where.names) > 1 or (where.ids and where.names):
        raise TaskValueError("one --name goes with a KEY, none with --id")


def _check_bulk(change: Change, where: Filter) -> None:
    if where == Filter():
        raise TaskValueError("which tasks? give a KEY, --id, --name, --state, --error or --since")
    if not (change.is_sure or change.is_dry or is_typed()):
        raise TaskValueError(
            f"{change.verb} of all that match needs --yes when stdin is no terminal"
            " (--dry-run says what matches)"
        )


def _find_one(driver: ConsoleDriver, operations: Operations, where: Filter) -> Target:
    if where.key is None:
        row = get_detail(driver, where.ids[0]).row
    else:
        row = operations.newest(where.key, name=where.names[0] if where.names else None)
    return Target(row.task_id, row.name, row.key, row.state)


def _change_one(operations: Operations, change: Change, target: Target) -> None:
    what = f"{change.verb} {target.name} {target.key!r} ({target.state})"
    if change.is_dry:
        if target.state not in _ALLOWED[change.verb]:
            msg = f"cannot {change.verb} {target.name} {target.key!r}: it is {target.state}"
            raise StateError(msg)
        _preview(change, [target])
    elif change.is_sure or not is_typed() or ask(f"{what}?"):
        _tell(change, operations.act_on(change.verb, target, reason=change.reason))
    else:
        _decline()


def _change_many(operations: Operations, change: Change, where: Filter) -> None:
    targets = operations.select(_with_states(change, where), maximum=change.maximum)
    for task_id in set(where.ids).difference(target.task_id for target in targets):
        warn(f"no task has the id {task_id}")
    if not targets:
        raise TaskNotFoundError("no task matches; nothing was changed")
    if change.is_dry:
        _preview(change, targets)
        return
    if not change.is_sure and not ask(f"{change.verb}: {_summary(targets)}?"):
        _decline()
    _tell(change, _act(operations, change, [target.task_id for target in targets]))


def _with_states(change: Change, where: Filter) -> Filter:
    """Narrow a filter without states to those the verb is for; ids are tried as they are."""
    if where.states or where.ids:
        return where
    return Filter(
        names=where.names,
        states=_BULK_STATES[change.verb],
        error=where.error,
        since=where.since,
    )


def _act(operations: Operations, change: Change, ids: Sequence[UUID]) -> ActionResult:
    match change.verb:
        case ActionVerb.REQUEUE:
            return operations.requeue(ids, reason=change.reason, skip_newer=True)
        case ActionVerb.CANCEL:
            return operations.cancel(ids, reason=change.reason)
        case _:
            return operations.run_now(ids, reason=change.reason)


def _preview(change: Change, targets: Sequence[Target]) -> None:
    if change.as_json:
        say_json({"verb": change.verb, "is_dry_run": True, "matched": targets})
    else:
        say(f"would {change.verb}: {_summary(targets)}")


def _summary(targets: Sequence[Target]) -> str:
    """Return '12 customer.sync FAILED, 1 invoice.push FAILED, such as 4711, 42'."""
    groups = Counter((target.name, target.state) for target in targets)
    counts = ", ".join(f"{count} {name} {state}" for (name, state), count in sorted(groups.items()))
    sample = ", ".join(target.key for target in targets[:_SAMPLE])
    such_as = "such as" if len(targets) > _SAMPLE else "key" if len(targets) == 1 else "keys"
    return f"{counts}, {such_as} {sample}"


def _tell(change: Change, result: ActionResult) -> None:
    if change.as_json:
        say_json(result)
    else:
        say(describe(result))
    if not result.changed and not result.asked:
        raise typer.Exit(ExitCode.NOTHING_DONE)


def _decline() -> NoReturn:
    warn("nothing was changed")
    raise typer.Exit(ExitCode.NOTHING_DONE)
