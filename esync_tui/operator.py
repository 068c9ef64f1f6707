"""From a key that was pressed to an action: what it acts on, how it is asked, who performs it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from esync.snapshot import ActionVerb, Count, Precision, Skip
from esync.task import TaskState
from esync_tui.messages import ActionEnded, MatchesCounted, TaskActionWanted
from esync_tui.plans import ACCEPTED, plan_matching, plan_tasks, question, refusal
from esync_tui.screens.ask import AskScreen
from esync_tui.screens.confirm import ConfirmScreen
from esync_tui.text import format_count
from esync_tui.writer import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from textual.message import Message
    from textual.screen import ModalScreen

    from esync.driver import ConsoleDriver
    from esync.operations import Operations, Target
    from esync.snapshot import ActionResult, Filter
    from esync_tui.views import NameView, TaskView
    from esync_tui.writer import Writer

MATCHING_LIMIT = 100_000
"""Tasks that one action from the console may touch; more is for the command line."""

_MANY_READY = 10_000
_LEFT = "no longer matching"


class Desk(Protocol):
    """What the operator's actions need of the app."""

    def refuse(self) -> bool:
        """Say so and return True when nothing can be changed now."""

    def tell(self, text: str, *, tone: str = "") -> None:
        """Tell the operator something in one line."""

    def ask(self, screen: ModalScreen[str | None], then: Callable[[str | None], None]) -> None:
        """Show a question and go on with its answer."""


class Operator:
    """Asks as much as an action deserves, then lets the writer perform it. UI thread only."""

    def __init__(
        self, desk: Desk, *, driver: ConsoleDriver, operations: Operations, writer: Writer
    ) -> None:
        self._desk = desk
        self._driver = driver
        self._operations = operations
        self._writer = writer

    def act(self, wanted: TaskActionWanted) -> None:
        """Begin an action on one task, on the marked ones, or on all that match.

        1. one task: a line with y/N. 2. several, or a handler that runs: a dialog.
        3. more than a thousand, or all that match: their number has to be typed.
        """
        if self._desk.refuse():
            return
        if wanted.where is not None:
            self._count(wanted.verb, wanted.where)
            return
        why_not = refusal(wanted.verb, wanted.tasks)
        if why_not is not None:
            self._desk.tell(why_not, tone="warning")
        else:
            self._ask_about(wanted.verb, wanted.tasks)

    def confirm_counted(self, counted: MatchesCounted) -> None:
        """Show the plan for all tasks that match, now that they were counted."""
        verb = counted.verb
        total = sum(count.value for count in counted.counts.values())
        found = {count.precision for count in counted.counts.values()}
        if total > MATCHING_LIMIT or found - {Precision.EXACT}:
            why = f"more than {min(total, MATCHING_LIMIT):,} tasks match"
            why = "counting them took too long" if Precision.UNREAD in found else why
            text = f"{verb}: {why}; narrow the filter, or use esync {verb} --max"
            self._desk.tell(text, tone="warning")
            return
        if not total:
            takes = ", ".join(ACCEPTED[verb])
            self._desk.tell(f"{verb}: no task matches in a state for it ({takes})", tone="warning")
            return
        plan = plan_matching(verb, counted.where, {s: c.value for s, c in counted.counts.items()})
        where = replace(counted.where, states=tuple(counted.counts))
        self._desk.ask(
            ConfirmScreen(plan),
            lambda reason: self._do(
                f"{verb} {total:,}",
                lambda why: self._act_matching(verb, where, counted.ids, why),
                reason,
            ),
        )

    def pause(self, view: NameView) -> None:
        """Pause a runner, or resume it; many waiting tasks deserve a dialog before they start."""
        if self._desk.refuse():
            return
        name = view.raw_name
        if view.row.pause is None:
            self._desk.ask(
                AskScreen(f"Pause {view.row.name}?", has_reason=True),
                lambda reason: self._do(
                    f"pause {view.row.name}",
                    lambda why: self._operations.pause([name], reason=why),
                    reason,
                ),
            )
            return
        ready = view.row.ready
        many = f" {format_count(ready)} tasks are READY." if ready.value > _MANY_READY else ""
        self._desk.ask(
            AskScreen(f"Resume {view.row.name}?{many}", has_reason=True),
            lambda reason: self._do(
                f"resume {view.row.name}",
                lambda why: self._operations.resume([name], reason=why),
                reason,
            ),
        )

    def _ask_about(self, verb: ActionVerb, tasks: Sequence[TaskView]) -> None:
        """Capture the ids now: whatever the list shows by then, these are acted on."""
        taken = [task for task in tasks if task.row.state in ACCEPTED[verb]]
        ids = [task.task_id for task in taken]
        is_running = any(task.row.state == TaskState.IN_PROGRESS for task in taken)
        if len(tasks) == 1 and not is_running:
            screen: ModalScreen[str | None] = AskScreen(question(verb, taken[0]), has_reason=True)
            label = f"{verb} {taken[0].row.key}"
        else:
            screen = ConfirmScreen(plan_tasks(verb, tasks))
            label = f"{verb} {len(ids):,}"
        is_bulk = len(ids) > 1
        self._desk.ask(
            screen,
            lambda reason: self._do(
                label, lambda why: self._act_on(verb, ids, why, is_bulk=is_bulk), reason
            ),
        )

    def _act_on(
        self, verb: ActionVerb, ids: Sequence[UUID], reason: str, *, is_bulk: bool
    ) -> ActionResult:
        """Perform an action; runs in the writer's thread."""
        if verb is ActionVerb.REQUEUE:
            return self._operations.requeue(ids, reason=reason, skip_newer=is_bulk)
        if verb is ActionVerb.CANCEL:
            return self._operations.cancel(ids, reason=reason)
        return self._operations.run_now(ids, reason=reason)

    def _act_matching(
        self, verb: ActionVerb, where: Filter, ids: Sequence[UUID], reason: str
    ) -> ActionResult:
        """Perform an action on what matched when it was counted and still does.

        Runs in the writer's thread.
        """
        matching = {target.task_id for target in self._select(where)}
        result = self._act_on(
            verb, [task_id for task_id in ids if task_id in matching], reason, is_bulk=True
        )
        left = [Skip(task_id, "", _LEFT) for task_id in ids if task_id not in matching]
        return replace(result, skipped=(*result.skipped, *left))

    def _select(self, where: Filter) -> tuple[Target, ...]:
        return self._operations.select(where, maximum=MATCHING_LIMIT)

    def _count(self, verb: ActionVerb, where: Filter) -> None:
        """Let the writer find and count what matches, by state; the dialog follows."""
        states = [s for s in ACCEPTED[verb] if not where.states or s in where.states]

        def work() -> Message:
            counts = {
                state: self._driver.count_tasks(
                    replace(where, states=(state,)), cap=MATCHING_LIMIT + 1
                )
                for state in states
            }
            total = sum(count.value for count in counts.values())
            is_exact = {count.precision for count in counts.values()} <= {Precision.EXACT}
            if not total or total > MATCHING_LIMIT or not is_exact:
                return MatchesCounted(verb, where, counts)
            targets = self._select(replace(where, states=tuple(states)))
            found = Counter(target.state for target in targets)
            return MatchesCounted(
                verb,
                where,
                {state: Count(found[state], Precision.EXACT) for state in states},
                [target.task_id for target in targets],
            )

        self._writer.submit(Job(label=f"counting what to {verb}", work=work))

    def _do(self, label: str, perform: Callable[[str], ActionResult], reason: str | None) -> None:
        if reason is None:
            self._desk.tell(f"{label}: not done")
        elif not self._desk.refuse():
            self._writer.submit(Job(label=label, work=lambda: ActionEnded(perform(reason))))
