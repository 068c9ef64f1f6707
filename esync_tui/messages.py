"""What threads and widgets post; only the app answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from esync.snapshot import ActionResult, ActionVerb, Count, Filter
    from esync.task import TaskState
    from esync_tui.views import NameView, TaskView


class PictureReady(Message):
    """The poller has a new picture; take it from there. Posted once until it is taken."""


class ActionEnded(Message):
    """An action was performed."""

    def __init__(self, result: ActionResult) -> None:
        super().__init__()
        self.result = result


class ActionFailed(Message):
    """An action could not be performed, or not wholly; the text says what happened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class MatchesCounted(Message):
    """How many tasks of each state an action on all matching tasks would act on, and on which."""

    def __init__(
        self,
        verb: ActionVerb,
        where: Filter,
        counts: Mapping[TaskState, Count],
        ids: Sequence[UUID] = (),
    ) -> None:
        super().__init__()
        self.verb = verb
        self.where = where
        self.counts = counts
        self.ids = ids


class EngineStopped(Message):
    """The engine inside has stopped; so many handlers still run."""

    def __init__(self, running: int) -> None:
        super().__init__()
        self.running = running


class EngineFailed(Message):
    """The engine inside could not be started or stopped."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class WantedChanged(Message):
    """A screen wants other tasks or another task to be read."""


class TaskActionWanted(Message):
    """The operator pressed the key of an action on tasks.

    `where` is given when all tasks that match it are meant instead of those listed.
    """

    def __init__(
        self, verb: ActionVerb, tasks: tuple[TaskView, ...], *, where: Filter | None = None
    ) -> None:
        super().__init__()
        self.verb = verb
        self.tasks = tasks
        self.where = where


class PauseWanted(Message):
    """The operator wants a runner to be paused, or resumed if it is paused."""

    def __init__(self, view: NameView) -> None:
        super().__init__()
        self.view = view


class TasksWanted(Message):
    """The operator wants to see the tasks of a name."""

    def __init__(self, raw_name: str | None, *, state: TaskState | None = None) -> None:
        super().__init__()
        self.raw_name = raw_name
        self.state = state


class DetailWanted(Message):
    """The operator wants to see one task."""

    def __init__(self, task_id: UUID) -> None:
        super().__init__()
        self.task_id = task_id


class Notice(Message):
    """Something to tell the operator in one line."""

    def __init__(self, text: str, *, tone: str = "") -> None:
        super().__init__()
        self.text = text
        self.tone = tone
