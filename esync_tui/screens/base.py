"""What all screens share: the bars around the lists, the log pane, and how a picture is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.screen import Screen

from esync_tui.bars import (
    hints_line,
    notice_line,
    problems_line,
    tabs_line,
    top_line,
    totals_line,
)
from esync_tui.keys import EVERYWHERE, Key
from esync_tui.messages import WantedChanged
from esync_tui.poller import Wanted
from esync_tui.text import Piece, Pieces
from esync_tui.widgets.lines import Lines
from esync_tui.widgets.toned import TONE_CLASSES, Bar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.app import ComposeResult
    from textual.widget import Widget

    from esync_tui.logs import LogLine
    from esync_tui.state import State

_LEVELS = ((40, "critical"), (30, "warning"), (20, ""), (1, "muted"))


class ConsoleScreen(Screen[None]):
    """A screen that shows the state it is given and posts what the operator wants."""

    KEYS: ClassVar[tuple[Key, ...]] = ()
    """The keys of this screen, in the order of their hints."""

    MODE: ClassVar[str] = ""
    """The tab that is current on this screen."""

    COMPONENT_CLASSES: ClassVar[set[str]] = TONE_CLASSES
    AUTO_FOCUS = ""

    def __init__(self) -> None:
        super().__init__()
        self.state: State | None = None
        self._parts = 0
        """Widgets of the whole screen; 0 before it is laid out."""
        self._drawn: tuple[object, ...] = ()
        """What the body was drawn from."""

    def compose(self) -> ComposeResult:
        """Lay out the bars around the body."""
        for name in ("top", "totals", "problems", "tabs"):
            yield Bar(id=name, classes="bar")
        yield from self.compose_body()
        yield Lines(id="log", is_tail=True)
        yield Bar(id="notice", classes="bar")
        yield Bar(id="hints", classes="bar")

    def compose_body(self) -> Iterable[Widget]:
        """Return the widgets between the bars."""
        return ()

    def on_mount(self) -> None:
        """Notice that everything is there."""
        self._parts = self._count_parts()

    @property
    def is_whole(self) -> bool:
        """Whether all of it can be drawn: not before it is laid out, nor while it is taken down."""
        return 0 < self._parts <= self._count_parts()

    def wanted(self) -> Wanted:
        """Return what this screen needs to be read."""
        return Wanted()

    def show(self, state: State, *, is_tick: bool = False) -> None:
        """Draw the state: the bars always, the body unless it stands still.

        With a tick of the clock only the bars change, unless that tells something new.
        """
        self.state = state
        if not self.is_whole:
            return
        drawn = (state.picture, state.is_lost, state.frozen_at)
        with self.app.batch_update():
            self.set_class(state.is_lost, "-lost")
            self.show_bars(state)
            if not is_tick or drawn != self._drawn:
                self.show_body(state)
                self._drawn = drawn
            else:
                self.show_place(state)

    def show_bars(self, state: State) -> None:
        """Draw the lines around the body."""
        width = self.size.width
        self.bar("top").show(top_line(state, width))
        self.bar("totals").show(totals_line(state, width))
        self.bar("problems").show(problems_line(state, width))
        self.bar("tabs").show(tabs_line(self.MODE, width))
        self.bar("notice").show(notice_line(state, width))
        self.bar("hints").show(hints_line((*self.KEYS, *EVERYWHERE), state, width))

    def show_body(self, state: State) -> None:
        """Draw the lists."""

    def show_place(self, state: State) -> None:
        """Draw which part of a list is seen: the operator may have scrolled."""

    def show_log(self, lines: tuple[LogLine, ...] | None) -> None:
        """Draw the log pane, or put it away."""
        pane = self.query_one("#log", Lines)
        is_opened = lines is not None and not self.has_class("-log")
        self.set_class(lines is not None, "-log")
        pane.show([log_line(line) for line in lines or ()])
        if is_opened:
            pane.follow()

    def bar(self, name: str) -> Bar:
        """Return one of the bars."""
        return self.query_one(f"#{name}", Bar)

    def on_screen_resume(self) -> None:
        """Draw what has happened meanwhile, and have what this screen needs read."""
        self._draw_again()
        self.post_message(WantedChanged())

    def on_resize(self) -> None:
        """Lay the lines out anew, and have read what there is room for now."""
        self.call_after_refresh(self._draw_again)
        self.post_message(WantedChanged())

    def _count_parts(self) -> int:
        return sum(1 for _ in self.walk_children())

    def _draw_again(self) -> None:
        if self.state is not None and self.is_whole:
            self.show(self.state)


def log_line(line: LogLine) -> Pieces:
    """Return one line of the log in the tone of its level."""
    return (Piece(f"{line.at} ", "muted"), Piece(line.text, _level_tone(line.level)))


def _level_tone(level: int) -> str:
    return next((tone for least, tone in _LEVELS if level >= least), "")
