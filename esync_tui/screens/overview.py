"""Overview: which task name is in trouble. One row per name, worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.containers import Horizontal
from textual.widgets import Input

from esync_tui.keys import MOVING, OVERVIEW, bindings
from esync_tui.messages import PauseWanted, TasksWanted
from esync_tui.name_list import (
    about_lines,
    chart_lines,
    columns,
    name_row,
    worker_lines,
    worst_state,
)
from esync_tui.screens.base import ConsoleScreen
from esync_tui.text import Piece, Pieces, shown
from esync_tui.widgets.table import Table
from esync_tui.widgets.toned import Bar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.binding import BindingType
    from textual.widget import Widget

    from esync_tui.state import State
    from esync_tui.views import NameView, OverviewView


class OverviewScreen(ConsoleScreen):
    """Every task name: what waits, what runs, what fails, how fast, and the last message."""

    KEYS = (*OVERVIEW, *MOVING)
    MODE = "overview"
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(OVERVIEW),
        ("escape", "clear", "clear"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._contains = ""
        self._is_wide = False
        self._is_drawn = False

    def compose_body(self) -> Iterable[Widget]:
        """Return the list, what is known of the name under the cursor, the workers."""
        yield Table(id="names")
        with Horizontal(id="lower"):
            yield Bar(id="chart")
            yield Bar(id="workers")
        yield Bar(id="about")
        yield Input(id="prompt", placeholder="part of a name", select_on_focus=False)

    def on_mount(self) -> None:
        """Give the keys to the list."""
        self.query_one(Table).focus()

    def show_body(self, state: State) -> None:
        """Draw the names unless they stand still, and what is known of the current one."""
        overview = state.picture.overview
        if not (state.is_frozen and self._is_drawn):
            self._show_names(state)
            self._is_drawn = overview is not None
        self._show_about()
        if overview is not None:
            self._show_lower(overview)

    def action_pause(self) -> None:
        """Ask for the runner under the cursor to be paused or resumed."""
        view = self._current()
        if view is not None:
            self.post_message(PauseWanted(view))

    def action_filter(self) -> None:
        """Ask for a part of a name."""
        self.add_class("-prompt")
        self.query_one(Input).focus()

    def action_wide(self) -> None:
        """Show the last message of every name in place of its trend, or the trend again."""
        self._is_wide = not self._is_wide
        self._redraw()

    def action_clear(self) -> None:
        """Show all names."""
        self._contains = ""
        self.query_one(Input).value = ""
        self._end_prompt()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the list while the operator types."""
        self._contains = event.value.strip().lower()
        self._redraw()

    def on_input_submitted(self) -> None:
        """Keep the part of a name."""
        self._end_prompt()

    def on_table_moved(self) -> None:
        """Draw what is known of the name under the cursor."""
        self._show_about()

    def on_table_opened(self, event: Table.Opened) -> None:
        """Ask for the tasks of a name, in the state that matters most."""
        view = self._find(event.key)
        if view is not None:
            self.post_message(TasksWanted(view.raw_name, state=worst_state(view.row)))

    def _redraw(self) -> None:
        self._is_drawn = False
        if self.state is not None and self.is_whole:
            self.show_body(self.state)

    def _end_prompt(self) -> None:
        self.remove_class("-prompt")
        self.query_one(Table).focus()
        self._redraw()

    def _show_names(self, state: State) -> None:
        table = self.query_one(Table)
        overview = state.picture.overview
        views = self._matching(overview)
        room = max(0, table.size.height - 1)
        is_double = 0 < 2 * len(views) <= room and not self._is_wide
        second = overview.at.second if overview is not None else 0
        table.show(
            columns(is_wide=self._is_wide),
            [
                name_row(view, second=second, is_lost=state.is_lost, is_wide=self._is_wide)
                for view in views
            ],
            reading=overview,
            lines_per_row=2 if is_double else 1,
            empty=self._empty(state),
        )

    def _matching(self, overview: OverviewView | None) -> list[NameView]:
        names = () if overview is None else overview.names
        return [view for view in names if self._contains in view.row.name.lower()]

    def _empty(self, state: State) -> tuple[Pieces, ...]:
        if state.is_first:
            return ((Piece("   reading …", "muted"),),)
        if state.picture.overview is None:
            return ((Piece("   nothing was read yet", "muted"),),)
        if self._contains:
            text = f"   no task name contains {shown(self._contains)!r}; Esc shows all"
            return ((Piece(text, "muted"),),)
        if state.picture.overview.is_partial:
            return ((Piece("   no runners yet; whether there are tasks was not read", "muted"),),)
        return (
            (Piece("   no tasks and no runners yet", "muted"),),
            (Piece("   esync add NAME KEY adds a task, esync worker APP runs them", "muted"),),
        )

    def _show_about(self) -> None:
        view = self._current()
        self.bar("about").show(*(() if view is None else about_lines(view.row)))

    def _show_lower(self, overview: OverviewView) -> None:
        self.bar("workers").show(*worker_lines(overview.workers, self.bar("workers").size.height))
        self.bar("chart").show(*chart_lines(overview, self.bar("chart").size))

    def _current(self) -> NameView | None:
        row = self.query_one(Table).cursor_row
        return None if row is None or row.is_gone else self._find(row.key)

    def _find(self, key: object) -> NameView | None:
        overview = None if self.state is None else self.state.picture.overview
        names = () if overview is None else overview.names
        return next((view for view in names if view.raw_name == key), None)
