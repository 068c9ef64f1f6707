"""The command palette: every action of the screen, and every task name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from rich.text import Text
from textual.command import DiscoveryHit, Hit, Hits, Provider

from esync_tui.keys import EVERYWHERE
from esync_tui.messages import PauseWanted, TasksWanted
from esync_tui.screens.base import ConsoleScreen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from esync_tui.app import Console


class Command(NamedTuple):
    """An entry; its text is never parsed as markup."""

    text: str
    run: Callable[[], object]


class ConsoleCommands(Provider):
    """Finds entries by a few letters of their text."""

    async def search(self, query: str) -> Hits:
        """Return the entries that match."""
        matcher = self.matcher(query)
        for command in self._commands():
            score = matcher.match(command.text)
            if score > 0:
                yield Hit(score, Text(command.text), command.run, text=command.text)

    async def discover(self) -> Hits:
        """Return every entry."""
        for command in self._commands():
            yield DiscoveryHit(Text(command.text), command.run, text=command.text)

    def _commands(self) -> Iterator[Command]:
        console = cast("Console", self.app)
        keys = self.screen.KEYS if isinstance(self.screen, ConsoleScreen) else ()
        for key in (*keys, *EVERYWHERE):
            if key.is_in_palette:
                run = partial(console.run_action, key.action)
                yield Command(f"{key.label}  ({key.shown})  {key.help}", run)
        yield Command("theme  change the colours", console.search_themes)
        yield from self._names(console)

    def _names(self, console: Console) -> Iterator[Command]:
        overview = console.state.picture.overview
        for view in () if overview is None else overview.names:
            wanted = TasksWanted(view.raw_name)
            verb = "pause" if view.row.pause is None else "resume"
            yield Command(f"tasks of {view.row.name}", partial(console.post_message, wanted))
            paused = PauseWanted(view)
            yield Command(f"{verb} {view.row.name}", partial(console.post_message, paused))
