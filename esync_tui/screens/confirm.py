"""What must be read before many tasks are changed: how many, which, what happens to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input

from esync_tui.text import Piece, Pieces
from esync_tui.widgets.lines import Lines
from esync_tui.widgets.toned import TONE_CLASSES, Bar

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An action on many tasks, told."""

    title: str
    button: str
    lines: tuple[Pieces, ...]
    twin: str
    """The command that does the same."""
    number: int | None = None
    """To be typed before it can be done; None when a press of the button is enough."""


class ConfirmScreen(ModalScreen[str | None]):
    """Returns None for no, and for yes the reason that was typed, or ''."""

    COMPONENT_CLASSES: ClassVar[set[str]] = TONE_CLASSES
    AUTO_FOCUS = "#no"
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "no", "no"),
        ("left,up", "app.focus_previous", "previous"),
        ("right,down", "app.focus_next", "next"),
    ]

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._plan = plan

    def compose(self) -> ComposeResult:
        """Lay out the plan, the reason, the number and the buttons."""
        plan = self._plan
        with Vertical(id="dialog"):
            yield Bar(id="title")
            yield Lines(id="plan")
            yield Bar(id="reason-label")
            yield Input(id="reason", placeholder="why (kept in the audit)", max_length=500)
            if plan.number is not None:
                yield Bar(id="number-label")
                yield Input(id="number", type="integer", max_length=12)
            with Horizontal(id="buttons"):
                yield Button("Back", id="no", compact=True)
                yield Button(plan.button, id="yes", compact=True, disabled=plan.number is not None)
            yield Bar(id="help")

    def on_mount(self) -> None:
        """Show the plan."""
        plan = self._plan
        self.query_one("#title", Bar).show((Piece(plan.title, "strong"),))
        twin: Pieces = (Piece(f"= {plan.twin}", "muted"),)
        self.query_one("#plan", Lines).show((*plan.lines, (Piece(""),), twin))
        self.query_one("#plan").can_focus = False
        self.query_one("#reason-label", Bar).show((Piece("reason"),))
        if plan.number is not None:
            label = (Piece("type "), Piece(str(plan.number), "strong"), Piece(" to confirm"))
            self.query_one("#number-label", Bar).show(label)
        hint = "Tab next   Enter press   Esc back"
        self.query_one("#help", Bar).show((Piece(hint, "muted"),))

    def on_resize(self) -> None:
        """Keep in sight what has the focus: nobody should press a button unseen."""
        if self.focused is not None:
            self.call_after_refresh(self.focused.scroll_visible, animate=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Let the button be pressed once the number is right."""
        if event.input.id == "number":
            is_right = event.value.strip() == str(self._plan.number)
            self.query_one("#yes", Button).disabled = not is_right

    def on_input_submitted(self) -> None:
        """Go on to the next field; Enter in a field never confirms."""
        self.focus_next()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        is_yes = event.button.id == "yes"
        self.dismiss(self.query_one("#reason", Input).value.strip() if is_yes else None)

    def action_no(self) -> None:
        """Answer no."""
        self.dismiss(None)
