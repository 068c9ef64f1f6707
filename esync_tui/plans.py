"""What is said before an action: the question for one task, the plan for many."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING

from esync.snapshot import ActionVerb
from esync.task import TaskState
from esync_tui.screens.confirm import Plan
from esync_tui.text import Piece, Pieces, shown, state_tone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from esync.snapshot import Filter
    from esync_tui.views import TaskView

TYPED_FROM = 1000
"""More tasks than this are only changed after their number was typed."""

ACCEPTED = {
    ActionVerb.REQUEUE: (TaskState.FAILED, TaskState.CANCELLED, TaskState.DONE),
    ActionVerb.CANCEL: (TaskState.READY, TaskState.RETRY, TaskState.IN_PROGRESS),
    ActionVerb.RUN_NOW: (TaskState.READY, TaskState.RETRY),
}
"""The states that each action takes; the driver guards them again."""

_EFFECTS = {
    ActionVerb.REQUEUE: ("They become READY and due now, their tries count from 0 again.",),
    ActionVerb.CANCEL: ("READY and RETRY are CANCELLED at once.",),
    ActionVerb.RUN_NOW: ("They are due now, before all other tasks of their name.",),
}
_NEWER = "Keys that have a newer request are skipped."
_ASKS = "IN PROGRESS: the handler is asked to stop; it may finish all the same."
_WORDS = {
    ActionVerb.REQUEUE: "Requeue",
    ActionVerb.CANCEL: "Cancel",
    ActionVerb.RUN_NOW: "Run now",
}
_SAMPLES = 5
_ROWS = 6
"""Names and states that are listed; the rest is summed up."""


def question(verb: ActionVerb, task: TaskView) -> str:
    """Return what is asked about one task."""
    row = task.row
    newer = " (a newer request exists)" if row.has_newer and verb is ActionVerb.REQUEUE else ""
    return f"{_WORDS[verb]} {row.name} / {row.key}, {row.state}{newer}?"


def refusal(verb: ActionVerb, tasks: Sequence[TaskView]) -> str | None:
    """Return why none of the tasks can be acted on; None when some can."""
    states = {task.row.state for task in tasks}
    if states & set(ACCEPTED[verb]):
        return None
    takes = ", ".join(ACCEPTED[verb])
    which = f"{tasks[0].row.key} is" if len(tasks) == 1 else "the marked tasks are"
    return f"cannot {verb}: {which} {', '.join(sorted(states))}; it takes {takes}"


def plan_tasks(verb: ActionVerb, tasks: Sequence[TaskView]) -> Plan:
    """Return the plan for an action on listed tasks."""
    taken = [task for task in tasks if task.row.state in ACCEPTED[verb]]
    counts = Counter((task.row.name, task.row.state) for task in taken)
    lines = _count_lines([(f"{name}  ", state, count) for (name, state), count in _most(counts)])
    left = len(tasks) - len(taken)
    if left:
        text = f"{left} more {'is' if left == 1 else 'are'} marked, but not in a state for this"
        lines.append((Piece(text, "muted"),))
    keys = " ".join(task.row.key for task in taken[:_SAMPLES])
    more = f" … {len(taken) - _SAMPLES} more" if len(taken) > _SAMPLES else ""
    lines += [(Piece("keys: "), Piece(keys, "strong"), Piece(more)), (Piece(""),)]
    newer = sum(task.row.has_newer for task in taken)
    lines += _effect_lines(
        verb, has_running=any(task.row.state == TaskState.IN_PROGRESS for task in taken)
    )
    if newer and verb is ActionVerb.REQUEUE:
        lines.append((Piece(f"{newer} of them will be skipped for that.", "warning"),))
    ids = f"--id {taken[0].task_id}" + (" --id …" if len(taken) > 1 else "")
    return Plan(
        title=_title(verb, len(taken)),
        button=f"{_WORDS[verb]} {len(taken):,}",
        lines=tuple(lines),
        twin=f"esync {verb} {ids}",
        number=len(taken) if len(taken) > TYPED_FROM else None,
    )


def plan_matching(verb: ActionVerb, where: Filter, counts: Mapping[TaskState, int]) -> Plan:
    """Return the plan for an action on all tasks that match."""
    total = sum(counts.values())
    listed = [("", state, count) for state, count in counts.items() if count]
    lines = [
        *_count_lines(listed),
        (Piece("names: "), Piece(", ".join(map(shown, where.names)) or "all", "strong")),
        (Piece(""),),
        *_effect_lines(verb, has_running=bool(counts.get(TaskState.IN_PROGRESS))),
        (Piece("In batches of 500. Tasks that begin to match later are not touched."),),
    ]
    return Plan(
        title=f"{_title(verb, total)}: all that match",
        button=f"{_WORDS[verb]} {total:,}",
        lines=tuple(lines),
        twin=_matching_twin(verb, where, [state for _, state, _ in listed], total),
        number=total,
    )


def _title(verb: ActionVerb, count: int) -> str:
    return f"{_WORDS[verb]} {count:,} {'task' if count == 1 else 'tasks'}"


def _most(counts: Counter[tuple[str, str]]) -> list[tuple[tuple[str, str], int]]:
    most = counts.most_common(_ROWS)
    rest = counts.total() - sum(count for _, count in most)
    return [*most, (("other names and states", ""), rest)] if rest else most


def _count_lines(listed: Sequence[tuple[str, str, int]]) -> list[Pieces]:
    return [
        (Piece(f"{count:>7,}  ", "strong"), Piece(name), Piece(state, state_tone(state)))
        for name, state, count in listed
    ]


def _effect_lines(verb: ActionVerb, *, has_running: bool) -> list[Pieces]:
    effects = list(_EFFECTS[verb])
    if verb is ActionVerb.REQUEUE:
        effects.append(_NEWER)
    lines: list[Pieces] = [(Piece(effect),) for effect in effects]
    return [*lines, (Piece(_ASKS, "warning"),)] if has_running else lines


def _matching_twin(verb: ActionVerb, where: Filter, states: Sequence[str], total: int) -> str:
    if where.key is not None or where.key_prefix is not None:
        return f"esync {verb} KEY, for each key: no command selects many tasks by key"
    return f"esync {verb} {_options(where, states)} --max {total}"


def _options(where: Filter, states: Sequence[str]) -> str:
    """Return a filter as options of the command line."""
    options = [
        *(f"--name {_shell(name)}" for name in where.names),
        *(f"--state {_shell(state)}" for state in states),
        *([f"--error {_shell(where.error)}"] if where.error is not None else []),
        *([f"--since {where.since:.0f}s"] if where.since is not None else []),
        *(f"--id {task_id}" for task_id in where.ids),
    ]
    return " ".join(options)


def _shell(text: str) -> str:
    return shlex.quote(shown(text))
