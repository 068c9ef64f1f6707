"""Children that a handler or a scheduled action has forked."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress

log = logging.getLogger("esync.engine")


def leave_child(worker: int, error: BaseException | None) -> None:
    """End this process unless it is the worker's, by its pid: user code has forked and come back.

    What it finds here, claims and connections, is its parent's. It ends as a program that comes to
    its end, or that `error` ends.
    """
    if os.getpid() == worker:
        return
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        log.error("a forked process: %s", type(error).__name__, exc_info=error)
        code = 1
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code & 0xFF)
