"""A list of rows whose cursor stays on its key, whatever happens to the rows around it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView

from esync_tui.text import NOTHING, Piece, Pieces, align_right, fit, width_of
from esync_tui.widgets.toned import Toned

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from textual import events
    from textual.strip import Strip

_MARGIN = 3
"""Cells at the left: the cursor, the mark or flag, a gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column; its cells are cut to its width."""

    title: str
    width: int
    """Cells, at least."""
    most: int | None = None
    """Cells, at most; None = its width. What is left goes to the first columns that need it."""
    is_right: bool = False
    keeps_end: bool = False
    """Show the end of what is too long; its pieces are one cell each."""
    from_width: int = 0
    """Cells that the table must have for the column to be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row; it has a cell for every column, shown or not."""

    key: Hashable
    cells: tuple[Pieces, ...]
    flag: Piece = NOTHING
    """One character: a problem, a pause, something stale."""
    second: Pieces = ()
    """A second line, drawn when the table shows two lines a row."""
    is_gone: bool = False
    """It has left the list; drawn struck through for one refresh, and not to be acted on."""


class Table(ScrollView, Toned, can_focus=True):
    """Draws only what is seen; the cursor is a key, not an index."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "down", show=False),
        Binding("k,up", "move(-1)", "up", show=False),
        Binding("pagedown,ctrl+d", "move_page(1)", "page down", show=False),
        Binding("pageup,ctrl+u", "move_page(-1)", "page up", show=False),
        Binding("g,home", "move_end(-1)", "first", show=False),
        Binding("G,end", "move_end(1)", "last", show=False),
        Binding("enter", "open", "open", show=False),
    ]

    class Moved(Message):
        """The cursor is on another row."""

    class Opened(Message):
        """The operator wants to see the row under the cursor."""

        def __init__(self, key: Hashable) -> None:
            super().__init__()
            self.key = key

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._columns: tuple[Column, ...] = ()
        self._rows: tuple[Row, ...] = ()
        self._widest: list[int] = []
        self._cursor = 0
        self._lines_per_row = 1
        self._empty: tuple[Pieces, ...] = ()
        self._reading: object = None
        self.marks: frozenset[Hashable] = frozenset()

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows as drawn, the one that has just left included."""
        return self._rows

    @property
    def cursor_row(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self._cursor] if self._rows else None

    @property
    def cursor_key(self) -> Hashable | None:
        """The key under the cursor; None when the list is empty."""
        row = self.cursor_row
        return None if row is None else row.key

    @property
    def seen(self) -> tuple[int, int]:
        """The numbers, from 1, of the first and last row that are seen."""
        body = max(0, self.size.height - 1)
        first = self.scroll_offset.y // self._lines_per_row
        last = min(len(self._rows), (self.scroll_offset.y + body) // self._lines_per_row)
        return min(first + 1, last), last

    def show(
        self,
        columns: Sequence[Column],
        rows: Sequence[Row],
        *,
        reading: object,
        lines_per_row: int = 1,
        empty: tuple[Pieces, ...] = (),
        is_new_list: bool = False,
    ) -> None:
        """Replace the rows. The cursor stays on its key; `is_new_list` puts it on the first row.

        A row under the cursor that has left the list stays for one refresh more, as gone: as long
        as what is drawn comes from the same `reading`.
        """
        shown = tuple(columns), tuple(rows), lines_per_row, empty
        before = self.cursor_row
        is_drawn_again, self._reading = reading is self._reading, reading
        if shown == self._shown() and not is_new_list:
            return  # nothing is drawn anew with every tick of the clock
        self._columns, self._rows, self._lines_per_row, self._empty = shown
        self._widest = _widest(self._columns, self._rows)
        if is_new_list:
            self._cursor = 0
        elif before is not None:
            self._follow(before, may_stay=is_drawn_again or not before.is_gone)
        self._cursor = max(0, min(self._cursor, len(self._rows) - 1))
        self.virtual_size = Size(self._width, 1 + len(self._rows) * lines_per_row)
        if is_new_list:
            self.scroll_to(y=0, animate=False, force=True)
        else:
            self._show_cursor()
        self.refresh()
        if self.cursor_key != (before.key if before else None):
            self.post_message(self.Moved())

    def move_to(self, key: Hashable) -> bool:
        """Put the cursor on a key; return whether it is in the list."""
        for index, row in enumerate(self._rows):
            if row.key == key:
                self._go(index)
                return True
        return False

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        self._go(self._cursor + by)

    def action_move_page(self, by: int) -> None:
        """Move the cursor by what is seen at once."""
        self._go(self._cursor + by * max(1, (self.size.height - 2) // self._lines_per_row))

    def action_move_end(self, way: int) -> None:
        """Move the cursor to the first or the last row."""
        self._go(0 if way < 0 else len(self._rows) - 1)

    def action_open(self) -> None:
        """Tell that the row under the cursor is wanted."""
        row = self.cursor_row
        if row is not None and not row.is_gone:
            self.post_message(self.Opened(row.key))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the row that was clicked; a click on the cursor's row opens it."""
        line = event.y - 1 + self.scroll_offset.y
        index = line // self._lines_per_row
        if event.y < 1 or not 0 <= index < len(self._rows):
            return
        if index == self._cursor:
            self.action_open()
        else:
            self._go(index)

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self.virtual_size = Size(self._width, 1 + len(self._rows) * self._lines_per_row)
        self._show_cursor()

    def render_line(self, y: int) -> Strip:
        """Draw the titles, or one line of a row."""
        width = self._width
        if y == 0:
            return self.draw(self._titles(width), width, base="header")
        index, line = divmod(y - 1 + self.scroll_offset.y, self._lines_per_row)
        if not self._rows:
            return self.draw(self._empty[y - 2] if 0 <= y - 2 < len(self._empty) else (), width)
        if index >= len(self._rows):
            return self.draw((), width)
        return self._draw_row(index, line, width)

    def _draw_row(self, index: int, line: int, width: int) -> Strip:
        row = self._rows[index]
        is_cursor = index == self._cursor
        pieces = self._first_line(row, width, is_cursor=is_cursor) if line == 0 else row.second
        if row.is_gone:
            pieces = tuple(Piece(piece.text, "gone") for piece in pieces)
        return self.draw(pieces, width, base="cursor" if is_cursor else "")

    def _shown(self) -> tuple[object, ...]:
        """Return what `show` was given, if it is what is drawn: no row stays that has left."""
        return self._columns, self._rows, self._lines_per_row, self._empty

    @property
    def _width(self) -> int:
        """Cells of a line: what the scrollbar leaves."""
        return self.scrollable_content_region.width

    def _first_line(self, row: Row, width: int, *, is_cursor: bool) -> Pieces:
        flag = Piece("*", "mark") if row.key in self.marks else row.flag
        line: Pieces = (Piece(">" if is_cursor else " ", "strong"), *fit((flag,), 1), Piece(" "))
        for number, cells in self._layout(width):
            line += _cell(row.cells[number], self._columns[number], cells)
            line += (Piece(" "),)
        return line

    def _titles(self, width: int) -> Pieces:
        line: Pieces = (Piece(" " * _MARGIN),)
        for number, cells in self._layout(width):
            column = self._columns[number]
            title = (Piece(column.title),)
            line += align_right(title, cells) if column.is_right else fit(title, cells)
            line += (Piece(" "),)
        return line

    def _layout(self, width: int) -> list[tuple[int, int]]:
        """Return the numbers of the columns that are shown, and the cells that each gets."""
        numbers = [n for n, column in enumerate(self._columns) if width >= column.from_width]
        cells = {number: self._columns[number].width for number in numbers}
        left = width - _MARGIN - sum(cells.values()) - len(numbers)
        for number in numbers:
            more = min(max(0, left), max(0, self._widest[number] - cells[number]))
            cells[number] += more
            left -= more
        return list(cells.items())

    def _follow(self, before: Row, *, may_stay: bool) -> None:
        """Keep the cursor on its key; a key that has left stays once more, struck through."""
        for index, row in enumerate(self._rows):
            if row.key == before.key:
                self._cursor = index
                return
        if may_stay and len(before.cells) == len(self._columns):
            at = min(self._cursor, len(self._rows))
            gone = replace(before, is_gone=True)
            self._rows = (*self._rows[:at], gone, *self._rows[at:])
            self._cursor = at

    def _go(self, index: int) -> None:
        index = max(0, min(index, len(self._rows) - 1))
        if index != self._cursor:
            self._cursor = index
            self._show_cursor()
            self.refresh()
            self.post_message(self.Moved())

    def _show_cursor(self) -> None:
        """Scroll as little as needed for the cursor's row to be seen below the titles."""
        top = self._cursor * self._lines_per_row
        region = Region(0, top, 1, self._lines_per_row + 1)
        self.scroll_to_region(region, animate=False, force=True, x_axis=False)


def _cell(pieces: Pieces, column: Column, cells: int) -> Pieces:
    if column.keeps_end:
        return align_right(pieces[-cells:], cells)
    return align_right(pieces, cells) if column.is_right else fit(pieces, cells)


def _widest(columns: Sequence[Column], rows: Sequence[Row]) -> list[int]:
    """Return the cells that each column can make use of."""
    widest = []
    for number, column in enumerate(columns):
        need = column.width
        if column.most is not None:
            cells = max((width_of(row.cells[number]) for row in rows), default=0)
            need = min(column.most, max(need, cells, len(column.title)))
        widest.append(need)
    return widest
