"""The APP of the workers that are measured: handlers that do nothing, wait, or tell their start.

BENCH_NAMES      how many task names it has: bench.0, bench.1, ...
BENCH_KIND       noop, sleep (a thread waits), await (a coroutine waits), start (tells its start),
                 hot (tells its start, and waits when the key is `hot`)
BENCH_SECONDS    how long sleep, await and hot wait
BENCH_OPTIONS    JSON: keyword arguments of `register_task_handler`
BENCH_STARTS     a socket that is told when a handler starts: the first of each process, or, of
                 kind start or hot, each one
BENCH_WORKER     JSON: keyword arguments of SyncManager
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from contextlib import suppress

from esync import PostgresDriver, SyncManager


class Noop:
    """Does nothing, but for the first call."""

    def __init__(self):
        self._has_started = False

    def do(self, task):
        if not self._has_started:
            self._has_started = True
            with suppress(BlockingIOError):  # full: nobody reads it, since nobody wants to know
                tell(task, socket.MSG_DONTWAIT)


class Start:
    def do(self, task):
        tell(task)


class Hot:
    def __init__(self, seconds):
        self._seconds = seconds

    def do(self, task):
        tell(task)
        if task.key == "hot":
            time.sleep(self._seconds)


class Sleep:
    def __init__(self, seconds):
        self._noop = Noop()
        self._seconds = seconds

    def do(self, task):
        self._noop.do(task)
        time.sleep(self._seconds)


class Await:
    def __init__(self, seconds):
        self._noop = Noop()
        self._seconds = seconds

    async def do(self, task):
        self._noop.do(task)
        await asyncio.sleep(self._seconds)


_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def tell(task, flags=0):
    now = time.monotonic()  # one clock for all processes of a machine
    if path := os.environ.get("BENCH_STARTS"):
        _socket.sendto(f"{task.key} {now:.6f}".encode(), flags, path)


def handler():
    seconds = float(os.environ.get("BENCH_SECONDS", "0"))
    match os.environ.get("BENCH_KIND", "noop"):
        case "noop":
            return Noop()
        case "start":
            return Start()
        case "sleep":
            return Sleep(seconds)
        case "await":
            return Await(seconds)
        case "hot":
            return Hot(seconds)
        case kind:
            raise SystemExit(f"BENCH_KIND must be noop, start, sleep, await or hot, got {kind!r}")


# The purpose tells the connections of one worker from those of another.
driver = PostgresDriver(os.environ["ESYNC_DSN"], purpose=str(os.getpid()))
app = SyncManager(driver, **json.loads(os.environ.get("BENCH_WORKER", "{}")))
for number in range(int(os.environ.get("BENCH_NAMES", "1"))):
    options = json.loads(os.environ.get("BENCH_OPTIONS", "{}"))
    app.register_task_handler(handler(), f"bench.{number}", **options)
