"""Real processes: started by tests, ended with them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from esync import version

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator, Mapping

DATABASE_VARIABLES = ("ESYNC_", "PG", "DB_", "DATABASE_URL")
"""How the names of variables begin that choose a database or change a setting."""


class Process:
    """One process started by a test; its output goes to files, so that it never blocks."""

    def __init__(
        self, arguments: list[str], *, folder: Path, env: Mapping[str, str], stdin: str | None
    ) -> None:
        self._stdout = folder / "stdout"
        self._stderr = folder / "stderr"
        (folder / "stdin").write_text(stdin or "")
        with (
            (folder / "stdin").open("rb") as given,
            self._stdout.open("wb") as out,
            self._stderr.open("wb") as err,
        ):
            self._popen = subprocess.Popen(
                arguments, cwd=folder, env=env, stdin=given, stdout=out, stderr=err
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return self._stdout.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """What it has logged so far."""
        return self._stderr.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: SIGTERM, SIGKILL, SIGSTOP, ..."""
        self._popen.send_signal(number)

    def wait(self, timeout: float = 30) -> int:
        """Return the exit code (negative: the signal that ended it)."""
        return self._popen.wait(timeout)

    def end(self) -> None:
        """Kill it if it runs still, stopped or not."""
        if self.is_running:
            self._popen.kill()
        self._popen.wait(30)


class Spawn:
    """Starts processes and remembers them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[Process] = []

    def __call__(
        self,
        *arguments: str,
        dsn: str | None = None,
        env: Mapping[str, str] | None = None,
        module: str = "esync.cli",
        stdin: str | None = None,
    ) -> Process:
        """Start `python -m esync.cli ARGUMENTS` in an empty folder of its own."""
        folder = self._folder / f"process{len(self._processes)}"
        folder.mkdir()
        full_env = {**clean_environment(), **({"ESYNC_DSN": dsn} if dsn else {}), **(env or {})}
        command = [sys.executable, "-m", module, *arguments]
        process = Process(command, folder=folder, env=full_env, stdin=stdin)
        self._processes.append(process)
        return process

    def end_all(self) -> None:
        for process in self._processes:
            process.end()


def clean_environment() -> dict[str, str]:
    """Return the environment without anything that chooses a database or changes a setting."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(DATABASE_VARIABLES)}
    # The esync under test, wherever the process runs.
    paths = [str(Path(version.__file__).parents[1]), env.get("PYTHONPATH", "")]
    return {**env, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def pytest_configure() -> None:
    """Let no test depend on what the shell has set, nor touch a database that it names."""
    for name in [name for name in os.environ if name.startswith(DATABASE_VARIABLES)]:
        if not name.startswith("ESYNC_TEST_"):
            del os.environ[name]


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Start processes that are ended with the test."""
    spawner = Spawn(tmp_path)
    yield spawner
    spawner.end_all()
