"""Detail: everything about one task, and all requests of its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from esync.snapshot import ActionVerb
from esync_tui.keys import DETAIL, MOVING, bindings
from esync_tui.messages import DetailWanted, Notice, TaskActionWanted
from esync_tui.poller import Wanted
from esync_tui.screens.base import ConsoleScreen
from esync_tui.task_lines import (
    HISTORY_COLUMNS,
    attempt_lines,
    data_lines,
    fact_lines,
    history_row,
    message_lines,
    title_line,
)
from esync_tui.text import Piece, Pieces, fit
from esync_tui.widgets.lines import Lines
from esync_tui.widgets.table import Table
from esync_tui.widgets.toned import Bar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from textual.binding import BindingType
    from textual.widget import Widget

    from esync_tui.state import State
    from esync_tui.views import DetailView, TaskView

_TABS = ("Message", "Attempts", "Data", "History")
_HISTORY = _TABS.index("History")


class DetailScreen(ConsoleScreen):
    """One task: its message, the attempts that failed, its data, the history of its key."""

    KEYS = (*DETAIL, *MOVING)
    MODE = "tasks"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(DETAIL)]

    def __init__(self, task_id: UUID) -> None:
        super().__init__()
        self._task_id = task_id
        self._tab = 0
        self._detail: DetailView | None = None
        """The task as it was last read; it stays when the task is gone."""

    def compose_body(self) -> Iterable[Widget]:
        """Return who the task is, the tabs and what they show."""
        yield Bar(id="facts")
        yield Bar(id="parts", classes="bar")
        yield Lines(id="body")
        yield Table(id="history")
        yield Bar(id="status", classes="bar")

    def on_mount(self) -> None:
        """Give the keys to the message."""
        self.query_one("#body").focus()

    def wanted(self) -> Wanted:
        """Return this task."""
        return Wanted(task_id=self._task_id)

    def show_body(self, state: State) -> None:
        """Draw the task unless it stands still."""
        detail = state.picture.detail
        is_ours = detail is not None and detail.task.task_id == self._task_id
        if is_ours and not (state.is_frozen and self._detail is not None):
            self._detail = detail
        self.set_class(self._tab == _HISTORY, "-history")
        self._show_facts(state)
        self._show_part(state)
        self.show_place(state)

    def show_place(self, state: State) -> None:
        """Draw which lines are seen, or what is wrong."""
        self.bar("status").show(self._status(state))

    def action_act(self, verb: str) -> None:
        """Ask for an action on this task, or on the request under the cursor of the history."""
        task = None if self._detail is None else self._detail.task
        if self._tab == _HISTORY and self._detail is not None:
            key = self.query_one(Table).cursor_key
            task = next((one for one in self._detail.history if one.task_id == key), task)
        if task is None:
            self.post_message(Notice(f"{verb}: the task was not read yet", tone="warning"))
        else:
            self.post_message(TaskActionWanted(ActionVerb(verb), (task,)))

    def action_tab(self, step: int) -> None:
        """Go to the next tab, or the one before."""
        self._go_to((self._tab + step) % len(_TABS))

    def action_history(self) -> None:
        """Go to the history of the key."""
        self._go_to(_HISTORY)

    def action_wrap(self) -> None:
        """Wrap long lines, or cut them."""
        self.query_one("#body", Lines).toggle_wrap()

    def action_back(self) -> None:
        """Go back to where the task was opened."""
        self.dismiss()

    def on_table_opened(self, event: Table.Opened) -> None:
        """Ask for another request of the same key."""
        task = next((one for one in self._history if one.task_id == event.key), None)
        if task is not None and task.task_id != self._task_id:
            self.post_message(DetailWanted(task.task_id))

    @property
    def _history(self) -> tuple[TaskView, ...]:
        return () if self._detail is None else self._detail.history

    def _go_to(self, tab: int) -> None:
        self._tab = tab
        self._draw_again()
        body = self.query_one("#body", Lines)
        body.scroll_home(animate=False, immediate=True)
        (self.query_one(Table) if tab == _HISTORY else body).focus()

    def _show_facts(self, state: State) -> None:
        width = self.size.width
        if self._detail is None:
            self.bar("facts").show((Piece(f" < {self._task_id}", "muted"),))
        else:
            task = self._detail.task
            self.bar("facts").show(title_line(task, width), *fact_lines(task, state.clock))
        self.bar("parts").show(self._tabs_line(width))

    def _tabs_line(self, width: int) -> Pieces:
        detail = self._detail
        counts = (
            ("", f" {len(detail.attempts)}", "", f" {len(detail.history)}") if detail else ("",) * 4
        )
        line: Pieces = ()
        for number, label in enumerate(_TABS):
            text = f"{label}{counts[number]}"
            line += (Piece(f" [{text}]", "tab") if number == self._tab else Piece(f"  {text} "),)
        return fit(line, width)

    def _show_part(self, state: State) -> None:
        detail = self._detail
        if detail is None:
            return
        if self._tab == _HISTORY:
            rows = [
                history_row(task, state.clock, is_this=task.task_id == self._task_id)
                for task in detail.history
            ]
            self.query_one(Table).show(HISTORY_COLUMNS, rows, reading=detail)
            return
        parts = (message_lines, attempt_lines, data_lines)
        self.query_one("#body", Lines).show(parts[self._tab](detail))

    def _status(self, state: State) -> Pieces:
        if state.picture.gone_id == self._task_id:
            text = " gone: this task no longer exists; shown as it was last read"
            return (Piece(text if self._detail else " there is no such task", "warning"),)
        if state.picture.page_error is not None:
            return (Piece(f" not read again: {state.picture.page_error}", "warning"),)
        if self._detail is None:
            return (Piece(" reading …", "muted"),)
        if self._tab == _HISTORY:
            return (
                Piece(" requests of this key, newest first; Enter opens, = is this one", "muted"),
            )
        first, last, total = self.query_one("#body", Lines).seen
        return (Piece(f" lines {first}-{last} of {total}     w wrap", "muted"),)
