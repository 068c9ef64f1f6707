"""The end of a command that leaves a worker."""

from __future__ import annotations

import os
import threading
from typing import NoReturn

import typer

from esync.cli.failure import ExitCode

_GIVE_BACK_SECONDS = 5.0


def leave(code: int) -> NoReturn:
    """End with an exit code, after what was lent to the command has been given back.

    With handlers still running, that may wait for what one of them holds: the process ends then.
    """
    if code == ExitCode.STILL_RUNNING:
        timer = threading.Timer(_GIVE_BACK_SECONDS, os._exit, (int(code),))
        timer.name, timer.daemon = "esync-leave", True
        timer.start()
    raise typer.Exit(code)
