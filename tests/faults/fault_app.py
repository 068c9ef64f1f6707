"""The APP of the workers that are killed, and the producer beside them, each in its process.

Both append what they did to the file ESYNC_FAULT_HISTORY, a JSON object a line.

    python -m esync.cli worker fault_app:app --headless
    python -m fault_app NAME KEYS SECONDS PAUSE      adds tasks until SIGTERM, or for so long
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from contextlib import closing

from esync.engine.sync_manager import SyncManager
from esync.errors import DriverUnavailableError, Retry
from esync.postgres.driver import PostgresDriver
from esync.task_manager import TaskManager

FILE = os.open(os.environ["ESYNC_FAULT_HISTORY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
AGAIN_AFTER_SECONDS = 0.05


def note(what, *, key, task, **more):
    """Append one line; a single write to a file opened for appending is never torn apart."""
    line = {"what": what, "at": time.monotonic_ns(), "pid": os.getpid(), "key": key, "task": task}
    os.write(FILE, (json.dumps(line | more) + "\n").encode())


def pause(seconds):
    threading.Event().wait(seconds)


def app(driver):
    """Return a worker whose handler lasts as long as the data says, and is retried as often."""
    manager = SyncManager(driver)

    @manager.handler("fault", concurrency=4)
    def fault(task):
        about = {"key": task.key, "task": str(task.id), "attempt": task.attempt}
        note("start", **about)
        is_first = task.attempt == 1
        pause(
            task.data["first_seconds" if is_first and "first_seconds" in task.data else "seconds"]
        )
        is_again = random.random() < task.data.get("again", 0)
        note("end", **about, outcome="RETRY" if is_again else "DONE")
        if is_again:
            raise Retry("once more", after=AGAIN_AFTER_SECONDS)

    return manager


def produce(name, keys, seconds, rest):
    """Add tasks of so many keys, one a transaction; note those that were acknowledged."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    deadline = time.monotonic() + seconds
    with closing(PostgresDriver.from_env()) as driver:
        manager = TaskManager(driver)
        while time.monotonic() < deadline and not stop.is_set():
            key = f"k{random.randrange(keys)}"
            since = time.monotonic_ns()
            try:
                task_id = manager.add_task(name, key, {"seconds": 0.008, "again": 0.1})
            except DriverUnavailableError:
                pause(AGAIN_AFTER_SECONDS)
            else:
                note("add", key=key, task=str(task_id), since=since)
            pause(rest)


if __name__ == "__main__":
    produce(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
