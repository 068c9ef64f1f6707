"""A text over the screen: the keys, the problems, the whole log."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.containers import Vertical
from textual.screen import ModalScreen

from esync_tui.text import Piece, Pieces
from esync_tui.widgets.lines import Lines
from esync_tui.widgets.toned import TONE_CLASSES, Bar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from esync_tui.keys import Key

_KEYS_WIDTH, _LABEL_WIDTH = 14, 15


class ReadingScreen(ModalScreen[None]):
    """Shows lines until a key is pressed that leaves them."""

    COMPONENT_CLASSES: ClassVar[set[str]] = TONE_CLASSES
    AUTO_FOCUS = "#reading"
    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,question_mark,i", "leave", "back")]

    def __init__(self, title: str, lines: Sequence[Pieces]) -> None:
        super().__init__()
        self._title = title
        self._lines = tuple(lines)

    def compose(self) -> ComposeResult:
        """Lay out the title, the text and how to leave it."""
        with Vertical(id="dialog"):
            yield Bar(id="title")
            yield Lines(id="reading")
            yield Bar(id="help")

    def on_mount(self) -> None:
        """Show the text."""
        self.query_one("#title", Bar).show((Piece(self._title, "strong"),))
        self.query_one("#reading", Lines).show(self._lines)
        self.query_one("#help", Bar).show((Piece("j k scroll   Esc back", "muted"),))

    def action_leave(self) -> None:
        """Go back."""
        self.dismiss()


def help_lines(keys: Iterable[Key], everywhere: Iterable[Key]) -> list[Pieces]:
    """Return what each key does, and the command that does the same."""
    lines: list[Pieces] = [(Piece("on this screen", "header"),)]
    for key in keys:
        lines += _help_of(key)
    lines += [(Piece(""),), (Piece("everywhere", "header"),)]
    for key in everywhere:
        lines += _help_of(key)
    return lines


def _help_of(key: Key) -> list[Pieces]:
    first: Pieces = (
        Piece(f"{key.shown:<{_KEYS_WIDTH}}", "key"),
        Piece(f"{key.label:<{_LABEL_WIDTH}}", "strong"),
        Piece(f"= {key.twin}" if key.twin else "", "muted"),
    )
    return [first, (Piece(" " * _KEYS_WIDTH + key.help),)]
