"""The demo without a console: run for a while, drain, compare, say the result."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from esync.demo.demo import DEFAULT_RATE, open_demo
from esync.errors import EsyncError, SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from esync.demo.chaos import Chaos
    from esync.demo.demo import Demo

_SECONDS_LIMIT = 86400.0
_REPORT_INTERVAL = 5.0


def run_headless(
    seconds: float,
    *,
    dsn: str | None = None,
    csv: Path | None = None,
    key: str | None = None,
    rate: float = DEFAULT_RATE,
    chaos: Chaos | None = None,
    say: Callable[[str], None] | None = None,
) -> int:
    """Run the demo for so many seconds; return 0 if both sides end up equal, else 1.

    SIGINT and SIGTERM end the load early; the queue is drained and compared all the same.
    """
    if not 0 <= seconds <= _SECONDS_LIMIT:
        raise SettingError(f"seconds must be 0 to {_SECONDS_LIMIT:g}, got {seconds:g}")
    say = say or _say
    with (
        _stop_on_signal() as stop,
        open_demo(dsn=dsn, csv=csv, key=key, rate=rate, chaos=chaos) as demo,
    ):
        say(demo.describe())
        demo.start()
        _watch(demo, seconds, stop=stop, say=say)
        say("load stopped, draining")
        comparison = demo.finish()
        say(comparison.describe())
    return 0 if comparison.is_equal and comparison.is_drained else 1


def _watch(
    demo: Demo, seconds: float, *, stop: threading.Event, say: Callable[[str], None]
) -> None:
    """Say now and then how things are, until the time is over or a signal came."""
    start = time.monotonic()
    while (left := start + seconds - time.monotonic()) > 0:
        if stop.wait(min(left, _REPORT_INTERVAL)):
            return
        elapsed = time.monotonic() - start
        tasks = f"{demo.load.edits} edits, {demo.waiting()} tasks wait"
        say(f"{elapsed:4.0f} s  {tasks}, {_answers(demo)}")


def _answers(demo: Demo) -> str:
    try:
        stats = demo.target.stats()
    except (OSError, EsyncError):
        return "the target is away"
    return "answers: " + ", ".join(f"{name} ({count})" for name, count in sorted(stats.items()))


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set; a second signal acts as it did before."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def on_signal(_number: int, _frame: Any) -> None:
        stop.set()
        restore()

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        restore()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
