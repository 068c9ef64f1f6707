"""Where in the run order pops go on, so that they need not look from the start each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esync.driver import Place

_RATIO = 20
LONGEST_SECONDS = 5.0
"""If looking from the start takes long it is done less often: after so many times as long, within
this limit."""


class Cursor:
    """The place that the last pop got to, as long as it may be used."""

    def __init__(self, seconds: float) -> None:
        """`seconds` is for how long at least pops go on before one looks from the start again."""
        self._seconds = seconds
        self._place: Place | None = None
        self._until = 0.0
        self._began_at = 0.0
        self._is_from_start = True

    def begin(self, now: float) -> Place | None:
        """Return where a pop may begin; None lets it look from the start."""
        self._began_at = now
        place = self._place if now < self._until else None
        self._is_from_start = place is None
        return place

    def note(self, place: Place | None, now: float) -> None:
        """Note how far that pop came; None lets the next one look from the start."""
        if self._is_from_start:
            rest = max(self._seconds, _RATIO * (now - self._began_at))
            self._until = now + min(rest, LONGEST_SECONDS)
        self._place = place

    def forget(self) -> None:
        """Let the next pop look from the start."""
        self._place = None
