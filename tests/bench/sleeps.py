"""What processes full of sleeping threads do without a queue: `tests.bench.sleeps 8 0.01`."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time

DURATION = 5.0


def bare_sleeps(*, processes: int, slots: int, seconds: float) -> tuple[float, float]:
    """Return how many sleeps end per second, and the microseconds of CPU that each takes."""
    command = [sys.executable, "-m", "tests.bench.sleeps", str(slots), str(seconds)]
    before = _children_seconds()
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    count = sum(int(process.communicate()[0]) for process in started)
    return count / DURATION, (_children_seconds() - before) / count * 1e6


def sleep_in_threads(slots: int, seconds: float) -> int:
    """Sleep again and again in so many threads; return how often in all."""
    counts = [0] * slots
    end = time.monotonic() + DURATION

    def sleep(slot: int) -> None:
        while time.monotonic() < end:
            time.sleep(seconds)
            counts[slot] += 1

    threads = [threading.Thread(target=sleep, args=(slot,)) for slot in range(slots)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.stdout.write(f"{sleep_in_threads(int(sys.argv[1]), float(sys.argv[2]))}\n")
