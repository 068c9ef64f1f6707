"""A worker without a console: logs to stderr, signals, and an exit code."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from esync.cli.failure import ExitCode
from esync.cli.leaving import leave
from esync.config import redact
from esync.errors import DriverUnavailableError
from esync.text import visible_block, visible_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from esync.driver import ConsoleDriver
    from esync.engine.sync_manager import SyncManager

log = logging.getLogger("esync.worker")

_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_LINE_LIMIT = 10_000
_SHOWN = 10


class LineFormatter(logging.Formatter):
    """One line per message, in UTC, with nothing in it that acts on a terminal."""

    converter = staticmethod(time.gmtime)  # typed as a method by logging, called as a function
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line; what a message brought along cannot begin another one."""
        return visible_line(super().formatMessage(record), limit=_LINE_LIMIT)

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        """Return the traceback, harmless."""
        return visible_block(super().formatException(ei))  # type: ignore[arg-type] # as it came


def start_logging(level: str) -> None:
    """Log to stderr, unless the APP has set up its own logging when it was loaded."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])


def run_headless(manager: SyncManager, *, driver: ConsoleDriver | None) -> None:
    """Run until a signal ends it; with handlers still running at the end, exit with 5.

    `driver` is asked for the schema first, for as long as the database is away; None = the APP
    brought its own driver, and its engine finds out. Raises SchemaError.
    """
    if driver is not None and not wait_for_schema(driver):
        log.info("stopped before the database could be reached")
        return
    left = manager.run()
    if left:
        shown = ", ".join(f"{attempt.name} {attempt.key}" for attempt in left[:_SHOWN])
        log.error("left with %d still running: %s", len(left), shown)
        leave(ExitCode.STILL_RUNNING)


def wait_for_schema(driver: ConsoleDriver) -> bool:
    """Wait until the database answers, saying once that it is away; False when a signal came.

    Raises SchemaError when the schema is missing or does not fit.
    """
    pause, is_away = _SHORTEST_PAUSE, False
    with _stop_on_signal() as stop:
        while not stop.is_set():
            try:
                driver.check_schema()
            except DriverUnavailableError as exc:
                if not is_away:
                    log.warning("trying again: %s", redact(str(exc)))
                is_away = True
                stop.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                if is_away:
                    log.warning("database back")
                return True
    return False


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, on_signal) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
