"""The target's process: started, watched, and never left behind."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from dataclasses import fields
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from esync.demo.chaos import Chaos
from esync.errors import EsyncError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import IO, Self

_START_LIMIT = 30.0
"""Seconds within which the process must say its port."""
_STOP_LIMIT = 5.0


class TargetProcess:
    """A context manager over `python -m esync.demo.target`.

    The process watches the pipe of its standard input and ends when its parent does, even when
    that is killed. It is in a session of its own, so that Ctrl-C reaches only the parent, which
    still wants to drain. Without a store, what it holds goes with it.
    """

    def __init__(self, *, chaos: Chaos, store: Path | None = None, seed: int | None = None) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            _command(store=store, chaos=chaos, seed=seed),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self.port = self._read_port()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def check(self) -> None:
        """Raise EsyncError if the process has ended."""
        if (code := self._process.poll()) is not None:
            raise EsyncError(f"target: its process has ended with exit code {code}")

    def stop(self) -> None:
        """End the process and wait for it; legal more than once."""
        stdin = self._process.stdin
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                stdin.close()
        try:
            self._process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read_port(self) -> int:
        """Return the port that the process prints."""
        # A thread reads it, since a pipe knows no timeout.
        lines: SimpleQueue[bytes] = SimpleQueue()
        stdout = self._process.stdout
        if stdout is None:
            raise EsyncError("target: its standard output is missing")
        Thread(
            target=_read_line, args=(stdout, lines), name="esync-demo-target-port", daemon=True
        ).start()
        try:
            line = lines.get(timeout=_START_LIMIT)
        except Empty:
            msg = f"target: its process said no port within {_START_LIMIT:g} seconds"
            raise EsyncError(msg) from None
        if not line.strip().isdigit():
            code = self._process.wait(_STOP_LIMIT)
            raise EsyncError(f"target: its process could not start, exit code {code}")
        return int(line)


def _command(*, store: Path | None, chaos: Chaos, seed: int | None) -> list[str]:
    options = [
        f"--{field.name.replace('_', '-')}={getattr(chaos, field.name)}" for field in fields(Chaos)
    ]
    if seed is not None:
        options.append(f"--seed={seed}")
    if store is not None:
        options.append(f"--store={store}")
    return [sys.executable, "-m", "esync.demo.target", "--with-parent", *options]


def _read_line(stdout: IO[bytes], lines: SimpleQueue[bytes]) -> None:
    lines.put(stdout.readline())
