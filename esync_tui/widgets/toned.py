"""The base of every widget that draws pieces of text: no markup, tones styled in console.tcss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from esync_tui.text import TONES, Piece, Pieces, fit

if TYPE_CHECKING:
    from rich.style import Style


TONE_CLASSES = {f"t-{tone}" for tone in TONES}
"""The component classes of a screen: styled once there, not once for every widget on it."""


class Toned(Widget):
    """Draws pieces; each tone is a component class `t-<tone>` of the screen."""

    def draw(self, pieces: Pieces, width: int, *, base: str = "") -> Strip:
        """Return one line of exactly so many cells; `base` is the tone that lies under all."""
        under = self.rich_style + self._tone(base) if base else self.rich_style
        segments = [
            Segment(piece.text, self._over(under, piece))
            for piece in fit(pieces, width)
            if piece.text
        ]
        return Strip(segments, width)

    def _over(self, under: Style, piece: Piece) -> Style:
        if not piece.tone:
            return under
        return under + self._tone(piece.tone)

    def _tone(self, tone: str) -> Style:
        return self.screen.get_component_rich_style(f"t-{tone}", partial=True)


class Bar(Toned):
    """A few fixed lines."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._lines: tuple[Pieces, ...] = ()

    @property
    def text(self) -> str:
        """What the lines say."""
        return "\n".join("".join(piece.text for piece in line) for line in self._lines)

    def show(self, *lines: Pieces) -> None:
        """Replace the lines."""
        if lines != self._lines:
            self._lines = lines
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        line = self._lines[y] if y < len(self._lines) else ()
        return self.draw(line, self.size.width)
