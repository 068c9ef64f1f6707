"""What every screen draws: the latest picture and what the app itself knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from esync_tui.poller import Picture, Signal

if TYPE_CHECKING:
    from datetime import datetime

PATIENCE = 5.0
"""Seconds beyond the time of the next poll after which a poll that hangs is no signal."""

NOTICE_SECONDS = 10.0


@dataclass(slots=True, kw_only=True)
class State:
    """Changed by the app alone, in the UI thread."""

    title: str
    started_at: float
    """Monotonic, as all moments here."""
    now: float
    picture: Picture = field(default_factory=lambda: Picture(signal=Signal()))
    frozen_at: float | None = None
    notice: str = ""
    notice_tone: str = ""
    noticed_at: float = 0.0
    engine: str = ""
    """What the engine inside does, for the top line."""
    engine_error: str = ""
    busy: str | None = None
    """The action that is under way."""
    arrived: int = 0
    """Rows that a frozen list does not show."""

    @property
    def is_frozen(self) -> bool:
        """Whether the lists stand still."""
        return self.frozen_at is not None

    @property
    def is_lost(self) -> bool:
        """Whether the database does not answer: it said so, or a poll hangs."""
        signal = self.picture.signal
        if signal.error is not None:
            return True
        begun = signal.next_at or self.started_at + signal.interval
        return self.now > begun + PATIENCE

    @property
    def is_first(self) -> bool:
        """Whether nothing was read yet, and nothing has failed."""
        return self.picture.overview is None and not self.is_lost

    @property
    def silent_seconds(self) -> float:
        """Seconds since the database last answered."""
        return self.now - (self.picture.read_at or self.started_at)

    @property
    def clock(self) -> datetime | None:
        """The database's clock at the last picture; ages are counted from here."""
        return None if self.picture.overview is None else self.picture.overview.at
