"""Worker processes as users start them: `esync worker --headless`, measured from outside."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fix_spawn import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ROOT = Path(__file__).parents[2]
_libc = ctypes.CDLL(None)


class Worker:
    """One worker process and what the system tells of it."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as out:
            self._popen = subprocess.Popen(
                command, cwd=_ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self.pid = self._popen.pid

    def peak_mb(self) -> float:
        """Return the most memory that was resident at once, in MB."""
        return _status_kb(self.pid, "VmHWM") / 1000

    def threads(self) -> int:
        """Return how many threads it has."""
        return _status_kb(self.pid, "Threads")

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far."""
        return cpu_seconds(self.pid)

    def ask_to_stop(self) -> None:
        """Let it drain and leave; do not wait."""
        self._popen.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """Wait until it has left; raise if it ended badly."""
        try:
            code = self._popen.wait(40)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            code = self._popen.wait()
        if code:
            raise RuntimeError(f"a worker ended with {code}: {self._log.read_text()[-2000:]}")

    def kill(self) -> None:
        """End it, whatever it does."""
        self._popen.kill()
        self._popen.wait()


class Starts:
    """A socket on which handlers tell when they started."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "starts")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)

    def next(self, timeout: float = 30.0) -> tuple[str, float]:
        """Return the key of the next handler that starts, and its time.monotonic()."""
        self._socket.settimeout(timeout)
        key, started = self._socket.recv(200).decode().rsplit(" ", 1)
        return key, float(started)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Fleet:
    """Starts workers on one queue; made by `fleet`."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.starts = Starts(folder)
        self.workers: list[Worker] = []
        self._dsn = dsn
        self._folder = folder

    def start(self, count: int = 1, **settings: Any) -> list[Worker]:
        """Start workers of tests/bench/app.py; `settings` are its variables, in lower case."""
        env = {**bench_environment(), "ESYNC_DSN": self._dsn, "BENCH_STARTS": self.starts.path}
        for name, value in settings.items():
            text = value if isinstance(value, str) else json.dumps(value)
            env[f"BENCH_{name.upper()}"] = text
        command = [sys.executable, "-m", "esync", "worker", "tests.bench.app:app", "--headless"]
        new = []
        for _ in range(count):
            log = self._folder / f"worker{len(self.workers)}.log"
            new.append(Worker(command, env, log))
            self.workers.append(new[-1])
        return new

    def log(self, number: int) -> str:
        """Return what a worker has logged, also after it has left."""
        return (self._folder / f"worker{number}.log").read_text()

    def stop(self) -> None:
        """Let all workers drain and leave."""
        workers, self.workers = self.workers, []
        for worker in workers:
            worker.ask_to_stop()
        for worker in workers:
            worker.wait()


@contextmanager
def fleet(dsn: str) -> Iterator[Fleet]:
    """Lend a fleet whose workers are ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="esync-bench-") as name:
        lent = Fleet(dsn, Path(name))
        try:
            yield lent
        finally:
            for worker in lent.workers:
                worker.kill()
            lent.starts.close()


def bench_environment() -> dict[str, str]:
    """Return the environment of a user: bytecode is kept, nothing chooses a database."""
    env = clean_environment()
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used so far, its ended children not counted.

    By its CPU clock: /proc counts in ticks, and misses what runs for a millisecond a second.
    """
    clock = ctypes.c_int()
    if error := _libc.clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise OSError(error, os.strerror(error), str(pid))
    return time.clock_gettime(clock.value)


def cpu_of(pids: Iterable[int]) -> dict[int, float]:
    """Return the CPU time of each of those processes that have not ended."""
    used = {}
    for pid in pids:
        with suppress(OSError):
            used[pid] = cpu_seconds(pid)
    return used


def server_pids(pids: Iterable[int]) -> list[int]:
    """Return those of a server's processes that run on this machine."""
    return [pid for pid in pids if _command(pid).startswith("postgres")]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def _status_kb(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise LookupError(field)
