"""What work costs in CPU time, measured by a fixed loop that runs beside it.

On a shared machine the speed of a core changes within minutes, and every rate with it. The CPU time
of a task divided by that of the loop, at the same time, changes far less.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

from tests.bench.fleet import cpu_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOOP = 60_000
_REST_SECONDS = 0.3


class Cost:
    """A context: the CPU time that processes of this machine use within, and that of loops."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._before: dict[int, float] = {}
        self._loops: subprocess.Popen[str] | None = None
        self.seconds = 0.0
        self.loop_seconds = 0.0

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.bench.cost"]
        self._loops = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._before = cpu_of(self._pids)
        return self

    def __exit__(self, *args: object) -> None:
        after = cpu_of(self._pids)
        self.seconds = sum(used - self._before.get(pid, 0.0) for pid, used in after.items())
        assert self._loops is not None
        self._loops.terminate()
        out, _ = self._loops.communicate()
        if not (loops := [float(line) for line in out.splitlines()]):
            raise RuntimeError("nothing was measured long enough for a loop beside it")
        self.loop_seconds = statistics.mean(loops)

    def of_one(self, tasks: int) -> float:
        """Return the CPU time of one of so many tasks, in thousandths of a loop's."""
        return 1000 * self.seconds / tasks / self.loop_seconds


def _time_loop() -> float:
    """Return the CPU time of the loop."""
    began, total = time.process_time(), 0
    for number in range(_LOOP):
        total += number * number
    return time.process_time() - began


if __name__ == "__main__":
    while True:
        sys.stdout.write(f"{_time_loop()}\n")
        sys.stdout.flush()
        time.sleep(_REST_SECONDS)
