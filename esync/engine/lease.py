"""A lease: one registration of this worker, and for how long its claims may be trusted."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


class Lease:
    """Every claim carries the lease it was popped under; attributes are read without a lock."""

    __slots__ = ("is_lost", "until", "worker_id")

    def __init__(self, worker_id: UUID, *, until: float) -> None:
        self.worker_id = worker_id
        self.until = until
        """time.monotonic() up to which nobody else can have rescued the claims."""
        self.is_lost = False
        """The worker's row is gone: the lease will never be held again."""

    @property
    def is_held(self) -> bool:
        """Whether the claims are certainly ours still."""
        return time.monotonic() < self.until

    def renew(self, *, until: float) -> None:
        """Extend the lease, unless it was lost."""
        self.until = until
        if self.is_lost:  # lost in another thread just now: whichever writes last, it stays lost
            self.until = -math.inf

    def lose(self) -> None:
        """Give up the lease for good."""
        self.is_lost = True
        self.until = -math.inf


def margin(lease: float) -> float:
    """Return the seconds before its end from which on a lease is not trusted any more."""
    return min(max(1.0, lease / 10), lease / 3)
