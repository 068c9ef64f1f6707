"""Text of any length that is scrolled, not walked: a message, JSON, help, the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView

from esync_tui.text import Pieces, width_of, wrap
from esync_tui.widgets.toned import Toned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.strip import Strip


class Lines(ScrollView, Toned, can_focus=True):
    """Scrolls lines; wraps the long ones unless told otherwise."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll_down", "down", show=False),
        Binding("k,up", "scroll_up", "up", show=False),
        Binding("pagedown,ctrl+d", "page_down", "page down", show=False),
        Binding("pageup,ctrl+u", "page_up", "page up", show=False),
        Binding("g,home", "scroll_home", "first", show=False),
        Binding("G,end", "scroll_end", "last", show=False),
    ]

    def __init__(self, *, id: str | None = None, is_tail: bool = False) -> None:  # noqa: A002
        super().__init__(id=id)
        self._source: tuple[Pieces, ...] = ()
        self._drawn: list[Pieces] = []
        self._is_tail = is_tail
        self._is_at_end = True
        """Whether a tail follows its end: not once the operator has scrolled away from it."""
        self.is_wrapped = True

    @property
    def text(self) -> str:
        """What the lines say."""
        return "\n".join("".join(piece.text for piece in line) for line in self._source)

    @property
    def seen(self) -> tuple[int, int, int]:
        """The numbers, from 1, of the first and last line that are seen, and of all of them."""
        first = self.scroll_offset.y
        last = min(len(self._drawn), first + self.size.height)
        return min(first + 1, last), last, len(self._drawn)

    def show(self, lines: Sequence[Pieces]) -> None:
        """Replace the lines; the place stays."""
        if tuple(lines) != self._source:
            self._source = tuple(lines)
            self._lay_out()

    def toggle_wrap(self) -> None:
        """Wrap long lines, or cut them and scroll sideways."""
        self.is_wrapped = not self.is_wrapped
        self._lay_out()

    def follow(self) -> None:
        """Go to the end, and stay there as lines come."""
        self._is_at_end = True
        self._lay_out()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Notice whether the operator leaves the end or comes back to it."""
        super().watch_scroll_y(old_value, new_value)
        self._is_at_end = new_value >= self.max_scroll_y

    def on_resize(self) -> None:
        """Wrap anew."""
        self._lay_out()

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        x, top = self.scroll_offset
        line = self._drawn[top + y] if top + y < len(self._drawn) else ()
        if self.is_wrapped:
            return self.draw(line, self.width)
        strip = self.draw(line, max(width_of(line), x + self.width))
        return strip.crop(x, x + self.width)

    @property
    def width(self) -> int:
        """Cells of a line: what the scrollbar leaves."""
        return self.scrollable_content_region.width

    def _lay_out(self) -> None:
        width = self.width
        self._drawn = []
        for line in self._source:
            self._drawn += wrap(line, width) if self.is_wrapped else [line]
        widest = width if self.is_wrapped else max(map(width_of, self._drawn), default=0)
        self.virtual_size = Size(widest, len(self._drawn))
        if self._is_tail and self._is_at_end:
            self.scroll_end(animate=False, immediate=True, force=True, x_axis=False)
        self.refresh()
