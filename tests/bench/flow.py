"""Point 3: a hot key, an old snapshot, and many minutes at full rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import flow_hot, flow_long, flow_snapshot
from tests.bench.entry import enter

if TYPE_CHECKING:
    from tests.bench.server import Server


def run(server: Server, *, runs: int, quick: bool, minutes: float = 10.0) -> str:
    """Return the tables of all three; `minutes` at full rate, a tenth when quick."""
    minutes = minutes / 10 if quick else minutes
    return "\n".join(
        [
            flow_hot.run(server, runs=runs, quick=quick),
            flow_snapshot.run(server, runs=runs, quick=quick),
            flow_long.run(server, runs=runs, quick=quick, minutes=minutes),
        ]
    )


if __name__ == "__main__":
    enter(run)
