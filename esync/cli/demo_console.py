"""The demo under the console."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from esync.cli.console_inside import show
from esync.cli.failure import ExitCode
from esync.cli.leaving import leave
from esync.cli.output import say_block, warn
from esync.demo import open_demo

if TYPE_CHECKING:
    from pathlib import Path

    from esync.demo import Comparison, Demo

_GRACE = 30.0
"""Seconds that handlers may go on once the queue is drained; it is, so that they need none."""


class DemoEngine:
    """The engine of the demo as the console sees it: stopping it drains and compares first."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self.comparison: Comparison | None = None

    @property
    def running(self) -> int:
        """How many handlers run at this moment."""
        return self._demo.manager.running

    def start(self) -> None:
        """Start the worker and the load generator."""
        self._demo.start()

    def stop(self, grace: float) -> int:
        """Stop the load, drain the queue, compare, stop the worker; at once without grace."""
        if grace > 0:
            self.comparison = self._demo.finish()
        return len(self._demo.manager.stop(grace))


def show_demo(*, dsn: str | None, csv: Path | None, key: str | None, rate: float) -> NoReturn:
    """Show the console on the demo; when it is left, print the comparison and end."""
    with open_demo(dsn=dsn, csv=csv, key=key, rate=rate) as demo:
        engine = DemoEngine(demo)
        code = show(demo.driver, title="esync demo", engine=engine, grace=_GRACE)
    if code:
        leave(code)
    if engine.comparison is None:
        warn("left before the queue was drained: the two sides were not compared")
        leave(ExitCode.NOTHING_DONE)
    say_block(engine.comparison.describe())
    is_well = engine.comparison.is_equal and engine.comparison.is_drained
    leave(ExitCode.DONE if is_well else ExitCode.NOTHING_DONE)
