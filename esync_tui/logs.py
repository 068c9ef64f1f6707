"""What handlers print and log while the console owns the screen: the newest lines."""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from esync_tui.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

LINES = 2000
"""Lines that are kept."""

_LINE_LIMIT = 2000
"""Characters of one line."""


class LogLine(NamedTuple):
    """One line, harmless already."""

    at: str
    level: int
    text: str


class LogTail:
    """The newest lines; may be filled from any thread and never grows beyond its bound."""

    def __init__(self, *, lines: int = LINES) -> None:
        self._lines: deque[LogLine] = deque(maxlen=lines)
        self._added = 0

    @property
    def added(self) -> int:
        """How many lines were ever added: whoever shows them can tell whether any are new."""
        return self._added

    def lines(self) -> tuple[LogLine, ...]:
        """Return the lines, oldest first."""
        while True:
            try:
                return tuple(self._lines)
            except RuntimeError:  # the deque grew meanwhile; taking a lock would slow handlers
                continue

    def add(self, text: str, *, level: int = logging.NOTSET) -> None:
        """Keep text, a line at a time."""
        at = time.strftime("%H:%M:%S", time.gmtime())
        for line in text.splitlines() or [""]:
            self._lines.append(LogLine(at, level, shown(line, limit=_LINE_LIMIT)))
            self._added += 1


class TailHandler(logging.Handler):
    """Keeps log records in a tail."""

    def __init__(self, tail: LogTail) -> None:
        super().__init__()
        self._tail = tail
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        try:
            self._tail.add(self.format(record), level=record.levelno)
        except Exception:  # noqa: BLE001 - logging must not end what is being logged
            self.handleError(record)


class TailStream(io.TextIOBase):
    """A stand-in for sys.stdout and sys.stderr that keeps what is printed in a tail."""

    encoding = "utf-8"

    def __init__(self, tail: LogTail) -> None:
        super().__init__()
        self._tail = tail
        self._lock = threading.Lock()  # guards _rest
        self._rest = ""

    @property
    def has_rest(self) -> bool:
        """Whether a line was begun and not ended."""
        return bool(self._rest)

    def writable(self) -> bool:
        """Return that it can be written to."""
        return True

    def write(self, text: str) -> int:
        """Keep the lines that are complete."""
        with self._lock:
            *lines, rest = (self._rest + text).split("\n")
            # A line without an end must not grow for ever.
            self._rest = rest[-_LINE_LIMIT:]
        for line in lines:
            self._tail.add(line)
        return len(text)


@contextmanager
def logging_into(tail: LogTail) -> Iterator[None]:
    """Put a handler that keeps records in the place of those that write to the terminal."""
    root = logging.getLogger()
    level = root.level
    taken = [handler for handler in root.handlers if _writes_to_terminal(handler)]
    if not root.handlers:
        root.setLevel(logging.INFO)  # nobody has configured logging
    ours = TailHandler(tail)
    for handler in taken:
        root.removeHandler(handler)
    root.addHandler(ours)
    try:
        yield
    finally:
        root.removeHandler(ours)
        for handler in taken:
            root.addHandler(handler)
        root.setLevel(level)


def _writes_to_terminal(handler: logging.Handler) -> bool:
    standard = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    if not isinstance(handler, logging.StreamHandler) or handler.stream not in standard:
        return False
    return bool(handler.stream.isatty())
