"""What this worker holds: claims, and attempts whose outcome is to be recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from esync.engine.lease import Lease
    from esync.engine.runner import Runner
    from esync.task import Claim, Finish


class Held(NamedTuple):
    """A claim in this worker's hands."""

    claim: Claim
    lease: Lease
    popped_at: float
    """time.monotonic()"""


class Ended(NamedTuple):
    """An attempt that has ended, and what is to be recorded of it."""

    runner: Runner
    held: Held
    finish: Finish
    seconds: float
