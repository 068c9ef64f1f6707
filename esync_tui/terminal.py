"""The terminal while the console owns it: nobody else writes to it, and losing it hurts nobody."""

from __future__ import annotations

import codecs
import io
import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from esync_tui.logs import LogTail, TailStream

if TYPE_CHECKING:
    from types import TracebackType

_CHUNK_BYTES = 65536
_STANDARD = (1, 2)
"""Standard output and standard error."""


class Terminal:
    """Keeps the terminal for the console alone; a context manager.

    Textual writes to `sys.__stderr__` and asks `sys.__stdout__` for the size: both are made anew
    over copies of standard output, and writing to them never fails, because Textual would wait
    for its writing thread for ever. With a tail, descriptors 1 and 2 lead into it, unless they
    lead into a file already.
    """

    def __init__(self, tail: LogTail | None) -> None:
        self._tail = tail
        self._originals = sys.__stdout__, sys.__stderr__
        self._copies: list[_Unfailing] = []
        self._saved: dict[int, int] = {}
        """Copies of the descriptors that lead into the tail meanwhile."""
        self._on_terminal: list[int] = []
        """Descriptors that lead to the terminal, besides our copies."""
        self._reader: threading.Thread | None = None
        self._silence: list[int] = []

    def __enter__(self) -> Self:
        _flush()
        self._originals = sys.__stdout__, sys.__stderr__
        self._copies = [_Unfailing(os.dup(1)), _Unfailing(os.dup(1))]
        self._on_terminal = [number for number in _STANDARD if os.isatty(number)]
        if self._tail is not None:
            self._lead_into(self._tail)
            self._on_terminal = list(self._saved.values())
        sys.__stdout__, sys.__stderr__ = self._copies  # type: ignore[misc]  # see the class
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _flush()
        sys.__stdout__, sys.__stderr__ = self._originals  # type: ignore[misc]
        for copy in self._copies:
            copy.close()
        for number, saved in self._saved.items():
            os.dup2(saved, number)
            os.close(saved)
        for end in self._silence:
            os.close(end)  # whoever still waits for a key reads the end of the pipe now
        if self._reader is not None:
            # Both writing ends are closed now: the reader comes to its end, unless a child
            # process holds one.
            self._reader.join(timeout=1.0)

    def hang_up(self) -> None:
        """Put nothing in the place of a terminal that is gone: reading waits, writing is lost.

        Reading from what is left of it would spin, and writing fails.
        """
        nothing = os.open(os.devnull, os.O_WRONLY)
        self._silence = [*os.pipe()]  # the writing end stays open, so that reading waits
        # Somebody may have been told just now that there is something to read: one key that means
        # nothing, or that reading would wait for ever.
        os.write(self._silence[1], b"\0")
        os.dup2(self._silence[0], 0)
        for number in (*(copy.fileno() for copy in self._copies), *self._on_terminal):
            os.dup2(nothing, number)
        os.close(nothing)

    def _lead_into(self, tail: LogTail) -> None:
        reading, writing = os.pipe()
        for number in self._on_terminal:
            self._saved[number] = os.dup(number)
            os.dup2(writing, number)
        os.close(writing)
        self._reader = threading.Thread(
            target=_keep_lines, args=(reading, tail), name="esync-console-output", daemon=True
        )
        self._reader.start()


class _Unfailing(io.TextIOWrapper):
    """A text file over a descriptor; what cannot be written is lost."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(os.fdopen(descriptor, "wb"), encoding="utf-8", errors="replace")

    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def _keep_lines(descriptor: int, tail: LogTail) -> None:
    stream = TailStream(tail)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    try:
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            stream.write(decoder.decode(chunk))
        stream.write("\n" if stream.has_rest else "")
    finally:
        os.close(descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError):
                stream.flush()
