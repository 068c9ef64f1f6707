"""The names that sleep: locks that inserts look for, held by the connection that pops."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from uuid import UUID

    from esync.postgres.lane import Lane
    from esync.postgres.link import Call, Link

LOCK_LIMIT = 256
"""Names of one connection that are woken; the others are polled. PostgreSQL has room for 64 locks
for each connection that it admits, all of them together, and a worker has four connections."""


class Sleepers:
    """Keeps the locks of a connection in step with who sleeps; any thread may call."""

    def __init__(self) -> None:
        self._workers: dict[str, set[UUID]] = {}
        """Of each name that sleeps, the workers of this driver."""
        self._lock = threading.Lock()  # guards _workers
        self._held: set[str] = set()
        self._link: Link | None = None
        """The connection that holds the locks: they end with it."""
        # Guards the two above, and so what is sent: a lock that is taken twice must be left twice.
        self._settling = threading.Lock()

    def add(self, names: Collection[str], worker_id: UUID) -> None:
        """Let names sleep; inserts know when `settle` has returned."""
        with self._lock:
            for name in names:
                self._workers.setdefault(name, set()).add(worker_id)

    def discard(self, names: Collection[str], worker_id: UUID) -> None:
        """Let names sleep no longer, as far as a worker is concerned."""
        with self._lock:
            for name in names:
                self._discard(name, worker_id)

    def forget(self, worker_id: UUID) -> None:
        """Let none of a worker's names sleep any longer."""
        with self._lock:
            for name in list(self._workers):
                self._discard(name, worker_id)

    def settle(self, lane: Lane, calls: Callable[[list[str], list[str]], Sequence[Call]]) -> None:
        """Take and leave the locks that are amiss, for instance since the connection is another.

        The other methods do not wait for it. `calls` are the statements that lock some names and
        unlock others; the last one returns the names that it locked: an insert may hold one for a
        moment, and then the next call tries again.
        """
        with self._settling:
            if lane.link is not self._link:  # the old connection took its locks along
                self._held.clear()
            with self._lock:
                asleep = set(self._workers)
            surplus = sorted(self._held - asleep)
            room = LOCK_LIMIT - len(self._held) + len(surplus)
            missing = sorted(asleep - self._held)[:room]
            if not missing and not surplus:
                return
            link, rows = lane.exchange_by(*calls(missing, surplus))
            if link is not self._link:
                self._held.clear()
                self._link = link
            self._held.difference_update(surplus)
            self._held.update(name for (name,) in rows[-1])

    def _discard(self, name: str, worker_id: UUID) -> None:
        workers = self._workers.get(name)
        if workers is not None:
            workers.discard(worker_id)
            if not workers:
                del self._workers[name]
