"""Tasks: which tasks there are, by state and filter; marks, and actions on one or many."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual.containers import Horizontal
from textual.widgets import Input

from esync.snapshot import ActionVerb, Filter
from esync_tui.keys import MOVING, TASKS, bindings
from esync_tui.messages import DetailWanted, Notice, TaskActionWanted, WantedChanged
from esync_tui.poller import PAGE, Wanted
from esync_tui.query import FilterError, format_filter, parse_filter
from esync_tui.screens.base import ConsoleScreen
from esync_tui.task_lines import pane_lines
from esync_tui.task_list import (
    STATE_TABS,
    arrived,
    columns,
    filter_line,
    states_line,
    task_row,
    unread_text,
)
from esync_tui.text import (
    Piece,
    Pieces,
    fit,
    format_count,
    quoted,
    shown,
    spread,
)
from esync_tui.widgets.lines import Lines
from esync_tui.widgets.table import Table
from esync_tui.widgets.toned import Bar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from textual.binding import BindingType
    from textual.widget import Widget

    from esync.snapshot import Count, Cursor
    from esync_tui.state import State
    from esync_tui.views import PageView, TaskView

_SETTLE = 0.12
"""Seconds that the cursor rests on a task before its details are read."""

_PANE_FROM = 110
"""Cells from which on the pane beside the list is shown."""


class TasksScreen(ConsoleScreen):
    """The tasks that match a filter; running ones, pending in run order, finished newest first."""

    KEYS = (*TASKS, *MOVING)
    MODE = "tasks"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(TASKS), ("escape", "clear", "clear")]

    def __init__(self) -> None:
        super().__init__()
        self.where = Filter()
        self._after: list[Cursor] = []
        """Where the pages up to this one begin, but the first."""
        self._marked: dict[UUID, TaskView] = {}
        self._is_all_meant = False
        self._page: PageView | None = None
        """The page as it is drawn."""
        self._shown_id: UUID | None = None
        """The task of the pane."""
        self._is_pane_off = False

    def compose_body(self) -> Iterable[Widget]:
        """Return the states, the filter, the list and the pane beside it."""
        yield Bar(id="states", classes="bar")
        yield Bar(id="filter", classes="bar")
        with Horizontal(id="middle"):
            yield Table(id="tasks")
            yield Lines(id="pane")
        yield Bar(id="status")
        yield Input(
            id="prompt",
            placeholder='name:a state:failed key:C-1 err:"429" since:1h, or a key\'s start',
            select_on_focus=False,
        )

    def on_mount(self) -> None:
        """Give the keys to the list."""
        self.query_one(Table).focus()

    def wanted(self) -> Wanted:
        """Return the page of the list, and the task of the pane."""
        task_id = self._shown_id if self._has_pane else None
        after = self._after[-1] if self._after else None
        return Wanted(where=self.where, after=after, task_id=task_id)

    def look_for(self, where: Filter) -> None:
        """List other tasks from now on; marks of the old list are taken off."""
        self.where = where
        self._marked.clear()
        self._is_all_meant = False
        self._start_list([])

    def show_body(self, state: State) -> None:
        """Draw the list unless it stands still, and everything around it."""
        self.set_class(self._has_pane, "-pane")
        page = state.picture.page
        if page is not None and self._is_wanted(page):
            is_new = self._page is None or not self._is_wanted(self._page)
            if is_new or not state.is_frozen:
                self._page = page
                self._show_list(state, page, is_new=is_new)
            else:
                state.arrived = arrived(page, self._page)
        elif self._page is None or not self._is_wanted(self._page):
            self._show_waiting(state)
        self._show_around(state)

    def show_place(self, state: State) -> None:
        """Draw which rows are seen, and the message under the cursor."""
        del state
        self._show_status()

    def action_act(self, verb: str) -> None:
        """Ask for an action on the marked tasks, else on the one under the cursor."""
        table = self.query_one(Table)
        row = table.cursor_row
        if self._is_all_meant:
            self.post_message(TaskActionWanted(ActionVerb(verb), (), where=self.where))
        elif self._marked:
            self.post_message(TaskActionWanted(ActionVerb(verb), tuple(self._marked.values())))
        elif row is None:
            self.post_message(Notice(f"{verb}: there is no task here", tone="warning"))
        elif row.is_gone:
            self.post_message(Notice(f"{verb}: that task has just left this list", tone="warning"))
        elif (task := self._find(row.key)) is not None:
            self.post_message(TaskActionWanted(ActionVerb(verb), (task,)))

    def action_mark(self) -> None:
        """Mark the task under the cursor, or unmark it, and go on to the next."""
        row = self.query_one(Table).cursor_row
        task = None if row is None or row.is_gone else self._find(row.key)
        if task is None:
            return
        self._is_all_meant = False
        if self._marked.pop(task.task_id, None) is None:
            self._marked[task.task_id] = task
        self.query_one(Table).action_move(1)
        self._show_marks()

    def action_mark_page(self) -> None:
        """Mark every task of this page."""
        self._is_all_meant = False
        if self._page is not None:
            self._marked.update({task.task_id: task for task in self._page.rows})
        self._show_marks()

    def action_mark_all(self) -> None:
        """Mean everything that matches the filter, on this page or not."""
        self._is_all_meant = True
        self._marked.clear()
        self._show_marks()

    def action_unmark(self) -> None:
        """Unmark everything."""
        self._marked.clear()
        self._is_all_meant = False
        self._show_marks()

    def action_state(self, step: int) -> None:
        """Go to the next state, or the one before."""
        states = [(), *((state,) for _, state in STATE_TABS if state is not None)]
        current = states.index(self.where.states) if self.where.states in states else 0
        self.look_for(replace(self.where, states=states[(current + step) % len(states)]))

    def action_page(self, step: int) -> None:
        """Go to the next page of the list, or the one before."""
        if step < 0 and self._after:
            self._start_list(self._after[:-1])
        elif step > 0 and self._page is not None and self._page.next is not None:
            self._start_list([*self._after, self._page.next])
        else:
            self.post_message(Notice("there is no further page that way"))

    def action_pane(self) -> None:
        """Put the pane away, or show it again."""
        self._is_pane_off = not self._is_pane_off
        self.post_message(WantedChanged())
        self._draw_again()

    def action_filter(self) -> None:
        """Ask for a filter."""
        prompt = self.query_one(Input)
        prompt.value = format_filter(self.where)
        prompt.cursor_position = len(prompt.value)
        self.add_class("-prompt")
        prompt.focus()

    def action_clear(self) -> None:
        """Leave the prompt, else unmark, else list everything."""
        if self.has_class("-prompt"):
            self._end_prompt()
        elif self._marked or self._is_all_meant:
            self.action_unmark()
        elif self.where != Filter():
            self.look_for(Filter())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """List what the filter asks for, or say why it cannot be read."""
        try:
            where = parse_filter(event.value)
        except FilterError as exc:
            self.post_message(Notice(f"filter: {shown(str(exc))}", tone="warning"))
            return
        self._end_prompt()
        if where != self.where:
            self.look_for(where)

    def on_table_moved(self) -> None:
        """Read the task of the pane once the cursor rests."""
        self._show_status()
        self.set_timer(_SETTLE, self._settle)

    def on_table_opened(self, event: Table.Opened) -> None:
        """Ask for the Detail screen."""
        task = self._find(event.key)
        if task is not None:
            self.post_message(DetailWanted(task.task_id))

    @property
    def _has_pane(self) -> bool:
        return self.size.width >= _PANE_FROM and not self._is_pane_off

    @property
    def _matched(self) -> Count | None:
        return None if self.state is None else self.state.picture.matched_by(self.where)

    def _is_wanted(self, page: PageView) -> bool:
        after = self._after[-1] if self._after else None
        return page.where == self.where and page.after == after

    def _start_list(self, after: list[Cursor]) -> None:
        self._after = after
        self._shown_id = None
        self.post_message(WantedChanged())
        self._draw_again()

    def _settle(self) -> None:
        row = self.query_one(Table).cursor_row
        task = None if row is None else self._find(row.key)
        if task is not None and task.task_id != self._shown_id:
            self._shown_id = task.task_id
            self.post_message(WantedChanged())

    def _end_prompt(self) -> None:
        self.remove_class("-prompt")
        self.query_one(Table).focus()

    def _find(self, key: object) -> TaskView | None:
        rows = () if self._page is None else self._page.rows
        return next((task for task in rows if task.task_id == key), None)

    def _show_list(self, state: State, page: PageView, *, is_new: bool) -> None:
        for task in page.rows:
            if task.task_id in self._marked:
                self._marked[task.task_id] = task
        state.arrived = 0
        self.query_one(Table).show(
            columns(self.where),
            [task_row(task, state) for task in page.rows],
            reading=page,
            empty=self._why_empty(),
            is_new_list=is_new,
        )
        if is_new:
            self._settle()
        self._show_marks()

    def _show_waiting(self, state: State) -> None:
        """Draw an empty list that says why it is empty; rows of another filter must not be seen."""
        text = "nothing was read yet" if state.is_lost else "reading …"
        if state.picture.page_error is not None and not state.is_lost:
            text = f"this list could not be read: {state.picture.page_error}"
        self.query_one(Table).show(
            columns(self.where),
            (),
            reading=None,
            empty=((Piece(f"   {text}", "muted"),),),
            is_new_list=True,
        )

    def _why_empty(self) -> tuple[Pieces, ...]:
        if self._page is not None and self._page.unread:
            text = f"   nothing else was found; {unread_text(self._page)}"
            return ((Piece(text, "muted"),),)
        if self._after:
            return ((Piece("   this page is empty by now; N goes back", "muted"),),)
        if self.where == Filter():
            return ((Piece("   there are no tasks; esync add NAME KEY adds one", "muted"),),)
        text = f"   no task matches  {format_filter(self.where)}"
        return ((Piece(text, "muted"),), (Piece("   Esc lists everything", "muted"),))

    def _show_around(self, state: State) -> None:
        width = self.size.width
        self.bar("states").show(states_line(self.where, state, width))
        self.bar("filter").show(filter_line(self.where, state, width))
        self._show_status()
        detail = state.picture.detail
        if self._has_pane and detail is not None and detail.task.task_id == self._shown_id:
            pane = self.query_one("#pane", Lines)
            pane.show(pane_lines(detail, state.clock, max(1, pane.width)))
        elif self._shown_id is None:
            self.query_one("#pane", Lines).show(())

    def _show_marks(self) -> None:
        table = self.query_one(Table)
        keys = [row.key for row in table.rows] if self._is_all_meant else self._marked
        marks = frozenset(keys)
        if marks != table.marks:
            table.marks = marks
            table.refresh()
        self._show_status()

    def _show_status(self) -> None:
        if self.state is None or not self.is_whole:
            return
        width = self.size.width
        self.bar("status").show(self._place_line(width), self._mark_line(width))

    def _place_line(self, width: int) -> Pieces:
        first, last = self.query_one(Table).seen
        offset = PAGE * len(self._after)
        matched = self._matched
        total = "…" if matched is None else format_count(matched)
        text = f" rows {first + offset}-{last + offset} of {total}" if last else " no rows"
        if self._page is not None and self._page.next is not None:
            text += ", n next page"
        error = None if self.state is None else self.state.picture.page_error
        if error is not None:
            return fit((Piece(f" not read again: {error}", "warning"),), width)
        if self._page is not None and self._page.unread:
            return fit((Piece(f"{text}; {unread_text(self._page)}", "warning"),), width)
        return spread(
            (Piece(text),), (Piece("^ = a newer request of this key exists ", "muted"),), width
        )

    def _mark_line(self, width: int) -> Pieces:
        row = self.query_one(Table).cursor_row
        task = None if row is None else self._find(row.key)
        message = "" if task is None else f"> {quoted(task.row.message)}"
        return fit((Piece(" "), *self._marks(), Piece("   "), Piece(message, "muted")), width)

    def _marks(self) -> Pieces:
        if self._is_all_meant:
            matched = self._matched
            count = "" if matched is None else f"{format_count(matched)} "
            return (Piece(f"all {count}matching meant", "mark"), Piece(" · \\ none", "muted"))
        marked = f"{len(self._marked)} marked"
        return (
            Piece(marked, "mark" if self._marked else "muted"),
            Piece(" · A all matching", "muted"),
        )
