"""What the console knows of an engine that runs inside it."""

from __future__ import annotations

from typing import Protocol


class Engine(Protocol):
    """Runs handlers in its own threads. The console starts it, shows it and stops it."""

    @property
    def running(self) -> int:
        """How many handlers run at this moment; called often, from the UI thread."""

    def start(self) -> None:
        """Begin to run tasks; may block for as long as registering takes."""

    def stop(self, grace: float) -> int:
        """Stop within so many seconds; return how many handlers still run then."""
