"""Point 8: from exec of `esync worker --headless` to its first handler, and what it loads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

from esync import PostgresDriver, TaskManager
from tests.bench.fleet import fleet
from tests.bench.ratio import kept
from tests.bench.report import Figure, say, table

if TYPE_CHECKING:
    from tests.bench.server import Server

BOUND_MS = 300.0
TIMES = 10
WATCHED = ("textual", "rich", "typer", "click", "psycopg", "psycopg_pool", "asyncio", "esync")
_SHOWN = 10
_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \| +([\w.]+)")


def run(server: Server, *, runs: int, quick: bool) -> str:
    """Return the time to the first handler, and which packages cost most of it.

    Starts ten workers whatever `runs` says: the worst counts too.
    """
    del runs
    times = 3 if quick else TIMES
    say(f"startup: {times} workers, one after the other")
    with server.queue() as dsn:
        _start(dsn, "warm")
        taken = Figure(tuple(_start(dsn, str(number)) for number in range(times)))
        bare = Figure(tuple(_interpreter() for _ in range(times)))
        spent = _imports(dsn)
    columns = ("what", "median ms", "worst ms", "bound", "kept")
    rows = [
        [
            "exec of the worker to its first handler",
            f"{taken.median:.0f}",
            f"{max(taken.values):.0f}",
            f"<= {BOUND_MS:g} ms",
            kept(is_kept=taken.median <= BOUND_MS),
        ],
        ["of that, an interpreter that does nothing", f"{bare.median:.0f}", "", "", ""],
    ]
    return "\n".join([table("Start-up", columns, rows), _packages(spent)])


def _start(dsn: str, key: str) -> float:
    """Return the milliseconds from starting a worker on one task to the start of its handler."""
    with closing(PostgresDriver(dsn)) as driver:
        TaskManager(driver).add_task("bench.0", key)
    with fleet(dsn) as workers:
        began = time.monotonic()
        workers.start(kind="start")
        _, started = workers.starts.next()
        workers.stop()
    return (started - began) * 1000


def _interpreter() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", ""], check=True)
    return (time.monotonic() - began) * 1000


def _imports(dsn: str) -> Counter[str]:
    """Return the milliseconds of import time by package, of a worker up to its first handler."""
    with closing(PostgresDriver(dsn)) as driver:
        TaskManager(driver).add_task("bench.0", "imports")
    os.environ["PYTHONPROFILEIMPORTTIME"] = "1"
    try:
        with fleet(dsn) as workers:
            workers.start(kind="start")
            workers.starts.next()
            workers.stop()
            log = workers.log(0)
    finally:
        del os.environ["PYTHONPROFILEIMPORTTIME"]
    spent: Counter[str] = Counter()
    for micros, module in _LINE.findall(log):
        spent[module.partition(".")[0]] += int(micros) / 1000
    return spent


def _packages(spent: Counter[str]) -> str:
    rows = [[name, f"{millis:.1f}"] for name, millis in spent.most_common(_SHOWN)]
    rows.append(["all together", f"{sum(spent.values()):.1f}"])
    loaded = [name for name in WATCHED if name in spent]
    title = "Import time by package, while it is traced (ms)"
    note = f"Loaded: {', '.join(loaded)}. Not loaded: {_or_none(set(WATCHED) - set(loaded))}.\n"
    return "\n".join([table(title, ("package", "ms"), rows), note])


def _or_none(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none of those watched"
