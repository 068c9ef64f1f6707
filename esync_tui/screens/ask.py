"""One question on one line: only `y` means yes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.screen import ModalScreen
from textual.widgets import Input

from esync_tui.text import Piece, Pieces, fit, width_of
from esync_tui.widgets.toned import TONE_CLASSES, Bar

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType


class AskScreen(ModalScreen[str | None]):
    """Returns None for no, and for yes the reason that was typed, or ''."""

    COMPONENT_CLASSES: ClassVar[set[str]] = TONE_CLASSES
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        ("y", "yes", "yes"),
        ("n,enter,escape,q", "no", "no"),
        ("r", "reason", "reason"),
    ]

    def __init__(self, question: str, *, has_reason: bool = False) -> None:
        super().__init__()
        self._question = question
        self._has_reason = has_reason

    def compose(self) -> ComposeResult:
        """Lay out the question and, when wanted, the line for the reason."""
        yield Bar(id="question")
        yield Input(id="reason", placeholder="reason", max_length=500)

    def on_mount(self) -> None:
        """Show the question."""
        self._show()

    def on_resize(self) -> None:
        """Show it at another width."""
        self._show()

    def action_yes(self) -> None:
        """Answer yes, with the reason."""
        self.dismiss(self.query_one(Input).value.strip())

    def action_no(self) -> None:
        """Answer no; in the reason, go back to the question."""
        if self.has_class("-reason"):
            self._end_reason()
        else:
            self.dismiss(None)

    def action_reason(self) -> None:
        """Let a reason be typed."""
        if self._has_reason:
            self.add_class("-reason")
            self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the reason and ask the question again."""
        event.stop()
        self._end_reason()

    def _end_reason(self) -> None:
        self.remove_class("-reason")
        self.set_focus(None)
        self._show()

    def _show(self) -> None:
        """Draw the question; however long it is, the answers stay in sight."""
        reason = self.query_one(Input).value.strip()
        hint = f"  reason: {reason[:30]}" if reason else "  r reason" if self._has_reason else ""
        answers = (Piece(hint, "muted"), Piece("  [y/N] ", "strong"))
        question: Pieces = (Piece(" "), Piece(self._question, "warning"))
        room = max(1, self.size.width - width_of(answers))
        if width_of(question) > room:
            question = fit(question, room)
        self.query_one("#question", Bar).show((*question, *answers))
