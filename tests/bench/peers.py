"""Other queues, measured by their own scripts, beside ours.

The scripts make their own PostgreSQL, in a folder that they know by its name, and install every
peer from the network: they are run on a copy, and the copy is kept for the next time.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import statistics
import subprocess
import tempfile
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.report import Figure, say
from tests.bench.work import Work

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_PEERS = ("pgqueuer", "graphile", "huey-pg")

_LOG_LINES = 15
_SECONDS_PER_PEER = 1500
_SESSION_FIELD = 3
"""Of what follows the name in /proc/PID/stat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What one peer does, each figure with the settings that suit it best."""

    title: str
    figures: Mapping[Work, Figure]
    """What it cannot do, or what was not measured, is missing."""


def measure_peers(scripts: Path, names: Sequence[str]) -> list[Peer]:
    """Run the scripts for the peers and return their figures; takes minutes for each of them."""
    folder = _copy(scripts)
    say(f"peers: {', '.join(names)}, in {folder}")
    for name in names:
        (folder / "results" / f"{name}.json").unlink(missing_ok=True)
    try:
        _run_all(folder, names)
    finally:
        for script in ("pg.sh", "redis.sh"):
            subprocess.run(["bash", script, "stop"], cwd=folder, capture_output=True, check=False)
    return [_read(folder, name) for name in names]


def read_peer(result: Mapping[str, Any]) -> Peer:
    """Return the figures of one peer from what the scripts' drive.py has written."""
    idle = [entry for entry in result.get("idle", []) if entry.get("after_commit")]
    drains = list(result.get("drain", {}).values())
    found = {
        Work.ADD: _most(list(result.get("single", {}).values())),
        Work.ADD_MANY: _figure(result.get("bulk", [])),
        Work.DRAIN: _most([_rates(runs) for runs in drains]),
        Work.DRAIN_TWICE: _figure(_rates(result.get("two", []))),
        Work.LATENCY_P50: _least([entry["after_commit"][0] for entry in idle]),
        Work.LATENCY_P95: _least([entry["after_commit"][1] for entry in idle]),
        Work.LATENCY_P99: _least([entry["after_commit"][2] for entry in idle]),
        Work.IDLE_CPU: _least([entry["idle_cpu"] for entry in idle]),
        Work.IDLE_TRANSACTIONS: _least([entry["idle_tps"] for entry in idle]),
        Work.MEMORY: _least([max(run["rss_mb"] for run in runs) for runs in drains]),
    }
    figures = {work: figure for work, figure in found.items() if figure is not None}
    return Peer(title=str(result["title"]), figures=figures)


def _copy(scripts: Path) -> Path:
    """Copy the scripts to where their PostgreSQL, which runs as another user, can make a socket.

    The folder has always the same name: the cluster remembers it, and what was installed serves
    again.
    """
    folder = Path(tempfile.gettempdir()) / f"esync-bench-peers-{os.geteuid()}"
    folder.mkdir(mode=0o711, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise RuntimeError(f"{folder} must be a folder of our own; remove it")
    for path in scripts.rglob("*"):
        copied = folder / path.relative_to(scripts)
        if path.is_dir():
            copied.mkdir(exist_ok=True)
        else:
            shutil.copyfile(path, copied)
    # The scripts expect this folder, and their Node peers look for its modules here.
    (folder / "node").mkdir(exist_ok=True)
    modules = folder / "node_modules"
    if not modules.is_symlink():
        modules.symlink_to(Path("node") / "node_modules")
    return folder


def _run_all(folder: Path, names: Sequence[str]) -> None:
    # Its table is on its stdout; ours is made of the files it writes.
    scripts = subprocess.Popen(
        ["bash", "run_all.sh", *names],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        scripts.wait(_SECONDS_PER_PEER * len(names))
    finally:
        _end_session(scripts.pid)  # however this ends, so does what was started
        scripts.wait()


def _end_session(session: int) -> None:
    """Kill what was started by the leader of a session; its groups are several (`timeout`)."""
    for stat_file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            fields = stat_file.read_text().rpartition(")")[2].split()
            if int(fields[_SESSION_FIELD]) == session:
                os.kill(int(stat_file.parent.name), signal.SIGKILL)


def _read(folder: Path, name: str) -> Peer:
    result = folder / "results" / f"{name}.json"
    if result.exists():
        return read_peer(json.loads(result.read_text(encoding="utf-8")))
    say(f"peers: {name} was not measured")
    for log in (folder / "logs" / "setup.log", folder / "logs" / f"{name}.drive.log"):
        if log.exists():
            with log.open(encoding="utf-8", errors="replace") as lines:
                say("".join([f"  {log.name}: {line}" for line in deque(lines, _LOG_LINES)]))
    return Peer(title=f"{name} (not measured)", figures={})


def _rates(runs: Sequence[Mapping[str, Any]]) -> list[float]:
    return [run["rate"] for run in runs]


def _figure(values: Sequence[float]) -> Figure | None:
    return Figure(tuple(values)) if values else None


def _most(tries: Sequence[Sequence[float]]) -> Figure | None:
    """Return the runs with the highest median of those with different settings."""
    measured = [values for values in tries if values]
    return _figure(max(measured, key=statistics.median, default=()))


def _least(values: Sequence[float | None]) -> Figure | None:
    measured = [value for value in values if value is not None]
    return _figure([min(measured)]) if measured else None
