"""Point 6: what five open consoles cost a draining worker, and the server."""

from __future__ import annotations

import fcntl
import os
import pty
import statistics
import struct
import subprocess
import sys
import termios
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from esync.task import TaskState
from tests.bench.crew import crew
from tests.bench.fleet import cpu_seconds
from tests.bench.ratio import Ratio, kept, ratios
from tests.bench.report import Figure, say, table
from tests.bench.seed import seed
from tests.fix_spawn import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.crew import Crew
    from tests.bench.server import Server

CONSOLES = 5
READY = 1_000_000
"""Left in front of the worker at the end of every window, or more."""
SECONDS = 20.0
APART_SECONDS = 10.0
"""Between two consoles that are opened, and before the window: one that needs 0.5 s to read two
millions rests for fifty, so the first reads again within the window, and perhaps the second. With
more rows in front its reading is cut off, and it rests for 75."""
WARM_TASKS = 100_000
SPARE = 1.2
"""A window may drain so much more than the rate before it."""
LEAST = 0.97
MOST_PERCENT = 1.0
"""Of a core of the server, for each console."""

_SETTLE_SECONDS = 1.0
_BACKENDS = """
SELECT pid
FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'esync:look:console%'
"""
_TOP_UP = "SELECT count(*) FROM message_queue WHERE state = 'READY'"


@dataclass(slots=True)
class Seen:
    """What the windows gave."""

    without: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    server_percent: list[float] = field(default_factory=list)
    """Of a core, for each console. Its readings are so far apart that a window may have none:
    only their mean tells something."""
    client_percent: list[float] = field(default_factory=list)


def run(server: Server, *, runs: int, quick: bool) -> str:
    """Return two tables: the worker's rate by turns without and with consoles, and their CPU."""
    ready = READY // 10 if quick else READY
    seconds, apart = (SECONDS / 10, APART_SECONDS / 10) if quick else (SECONDS, APART_SECONDS)
    seen = Seen()
    with server.queue() as dsn, crew(server, dsn) as workers:
        rate = workers.drain(WARM_TASKS)
        # No VACUUM: a backlog that has just been written has none behind it either.
        workers.pause()
        workers.clock.conn.execute("ALTER TABLE message_queue SET (autovacuum_enabled = off)")
        for count in (*(0, CONSOLES) * runs, 0):
            _fill_up(workers, ready + int(seconds * SPARE * rate))
            with ExitStack() as stack:
                consoles = []
                for _ in range(count):
                    consoles.append(stack.enter_context(open_console(workers.dsn)))
                    time.sleep(apart)
                rate = _window(workers, seen, seconds=seconds, consoles=consoles)
    line = Ratio(
        what=f"{CONSOLES} consoles open on {ready:,} READY",
        # The machine's speed drifts: each window is compared with those before and after it.
        base=Figure(tuple(map(statistics.mean, pairwise(seen.without)))),
        measured=Figure(tuple(seen.beside)),
        least=LEAST,
    )
    return "\n".join([ratios("The console: tasks/s of a draining worker", [line]), _cpu(seen)])


@contextmanager
def open_console(dsn: str) -> Iterator[int]:
    """Open a console on a terminal of 80 by 24 until it shows the queue; lend its process id."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {**clean_environment(), "ESYNC_DSN": dsn, "TERM": "xterm-256color"}
    console = subprocess.Popen(
        [sys.executable, "-m", "esync.cli.console"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env=env,
    )
    shows = threading.Event()
    reader = threading.Thread(target=_read, args=(master, shows), daemon=True)
    reader.start()
    try:
        if not shows.wait(30):
            raise TimeoutError("a console shows no queue after 30 s")
        yield console.pid
    finally:
        console.kill()
        console.wait()
        os.close(slave)
        reader.join(5)
        os.close(master)


def _read(master: int, shows: threading.Event) -> None:
    """Take what the console draws, so that it is never held up."""
    tail = b""
    try:
        while chunk := os.read(master, 65536):
            tail = tail[-100:] + chunk
            if b"bench.0" in tail:
                shows.set()
    except OSError:  # the terminal was closed
        pass


def _window(workers: Crew, seen: Seen, *, seconds: float, consoles: list[int]) -> float:
    """Drain for some seconds beside consoles and take notes; return the rate."""
    backends = [pid for (pid,) in workers.clock.conn.execute(_BACKENDS)]
    workers.resume()
    time.sleep(_SETTLE_SECONDS)
    before = _cpu_of(backends), _cpu_of(consoles)
    since = workers.clock.now()
    time.sleep(seconds)
    until = workers.clock.now()
    after = _cpu_of(backends), _cpu_of(consoles)
    workers.pause()
    rate = workers.clock.window(since, until)
    count = len(consoles)
    say(f"consoles: {count} open, {rate:,.0f}/s, {len(backends)} connections of theirs")
    (seen.beside if count else seen.without).append(rate)
    if count:
        share = 100 / (seconds * count)
        seen.server_percent.append((after[0] - before[0]) * share)
        seen.client_percent.append((after[1] - before[1]) * share)
    return rate


def _fill_up(workers: Crew, wanted: int) -> None:
    """Put so many tasks in front of the worker."""
    left = workers.clock.conn.execute(_TOP_UP).fetchone()[0]
    if left < wanted:
        prefix = f"{time.monotonic_ns()}:"
        seed(workers.dsn, wanted - left, state=TaskState.READY, prefix=prefix)
    workers.clock.conn.execute("CHECKPOINT")


def _cpu_of(pids: list[int]) -> float:
    """Return the CPU seconds of processes so far; of the server's, when it is on this machine."""
    return sum(cpu_seconds(pid) for pid in pids)


def _cpu(seen: Seen) -> str:
    server = statistics.mean(seen.server_percent)
    client = Figure(tuple(seen.client_percent))
    shown = f"{server:.2f} [{min(seen.server_percent):.2f}-{max(seen.server_percent):.2f}]"
    columns = ("CPU of one console, % of a core", "measured", "bound", "kept")
    is_kept = server <= MOST_PERCENT
    return table(
        "The console's duty cycle",
        columns,
        [
            ["in the server, mean", shown, f"<= {MOST_PERCENT:g} %", kept(is_kept=is_kept)],
            ["in its own process", client.show(2), "", ""],
        ],
    )
