"""The driver without a database: the promises of esync.driver, kept in one process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from esync.memory.console import MemoryConsole
from esync.memory.operators import MemoryOperators
from esync.memory.producer import MemoryProducer
from esync.memory.runner import MemoryRunner
from esync.memory.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable


class MemoryDriver(MemoryProducer, MemoryRunner, MemoryConsole, MemoryOperators):
    """A queue in memory; any thread may use it, and several workers may share it.

    It passes the same specification as PostgresDriver (`esync.testing`), with two differences
    that follow from having no database: everything is gone with the process, and `within` cannot
    join a transaction. It is made for thousands of tasks, not for millions.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        """Make an empty queue; `clock` returns the seconds since 1970 that it stores."""
        super().__init__(Store(clock=clock))

    def let_pass(self, seconds: float) -> None:
        """Move the queue's clock forward: retries become due, leases run out, pauses end."""
        with self._store.lock:
            self._store.shift += seconds
            self._store.notify("*")

    def close(self) -> None:
        """Do nothing: there is no connection, and the tasks stay."""
