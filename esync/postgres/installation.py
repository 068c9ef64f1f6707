"""The programs of one PostgreSQL installation, run by an account that may run them."""

from __future__ import annotations

import logging
import os
import pwd
import shlex
import subprocess
import threading
import time
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from esync.errors import DriverUnavailableError, SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("esync.embedded")

PORT = 5432
"""Only part of the socket's name: nothing listens on the network."""

_ACCOUNT_NAME = "esync_postgres"
_TIMEOUT_SECONDS = 60
_LOOK_AGAIN_SECONDS = 0.1
_CRASH_SECONDS = 10
_CRASHED = ('lock file "postmaster.pid" already exists', "pre-existing shared memory block")
"""What a start says while processes of a server that was killed are still there."""


class Account(NamedTuple):
    """An unprivileged user of this machine."""

    name: str
    uid: int
    gid: int


class Readiness(IntEnum):
    """What a server answers; the values are the exit codes of pg_isready."""

    ACCEPTING = 0
    REJECTING = 1
    """It is starting or stopping."""
    SILENT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A folder of PostgreSQL programs, and who runs them.

    Every method blocks until the program has ended, a minute at most, and raises
    DriverUnavailableError with one line when it fails.
    """

    bin: Path
    account: Account | None = None
    """None = the current user; root needs one, since PostgreSQL refuses to run as root."""

    def can_run(self) -> bool:
        """Return whether the account can reach and run the programs."""
        try:
            return self._run("postgres", "--version", cwd=Path("/")).returncode == 0
        except OSError:
            return False

    def version(self) -> str:
        """Return the version of the programs, such as 18.6."""
        answer = self._run("postgres", "--version", cwd=Path("/")).stdout
        return answer.split()[2]

    def init(self, data: Path, *options: str) -> None:
        """Make an empty cluster; its superuser is postgres, for whoever reaches the socket."""
        data.mkdir(mode=0o700)
        if self.account:
            os.chown(data, self.account.uid, self.account.gid)
        self._check(
            "initdb",
            *("-D", str(data), "--username=postgres", "--auth=trust", "--encoding=UTF8"),
            *options,
            cwd=data,
        )

    def start(self, data: Path, *, socket_dir: Path, settings: Mapping[str, str]) -> None:
        """Start the server of a cluster unless it runs; return once it accepts connections."""
        if self.wait_settled(socket_dir) is Readiness.ACCEPTING:
            return
        _forget_recycled_pid(data)
        deadline = time.monotonic() + _CRASH_SECONDS
        while reason := self._try_start(data, options=_options(socket_dir, settings)):
            if not reason.startswith(_CRASHED) or time.monotonic() > deadline:
                raise DriverUnavailableError(f"PostgreSQL in {data} did not start: {reason}")
            threading.Event().wait(_LOOK_AGAIN_SECONDS)

    def stop(self, data: Path, *, mode: str = "fast") -> None:
        """Stop the server of a cluster if it runs: smart, fast or immediate."""
        if (data / "postmaster.pid").exists():
            arguments = ("-D", str(data), "-m", mode, "-w", "-t", str(_TIMEOUT_SECONDS))
            self._check("pg_ctl", "stop", *arguments, cwd=data)

    def wait_settled(self, socket_dir: Path) -> Readiness:
        """Return what the server at a socket answers once it is neither starting nor stopping."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while (answer := self._ask(socket_dir)) is Readiness.REJECTING:
            if time.monotonic() > deadline:
                raise DriverUnavailableError(
                    f"PostgreSQL at {socket_dir} is still starting after {_TIMEOUT_SECONDS} seconds"
                )
            threading.Event().wait(_LOOK_AGAIN_SECONDS)
        return answer

    def _try_start(self, data: Path, *, options: str) -> str | None:
        """Start the server; return why it did not start."""
        server_log = data / "server.log"
        if server_log.exists():
            server_log.replace(data / "server.log.1")
        arguments = ("-D", str(data), "-l", str(server_log), "-o", options)
        done = self._run("pg_ctl", "start", "-w", "-t", str(_TIMEOUT_SECONDS), *arguments, cwd=data)
        return _reason(server_log, done.stderr) if done.returncode else None

    def _ask(self, socket_dir: Path) -> Readiness:
        arguments = ("-h", str(socket_dir), "-p", str(PORT), "-t", "5")
        return Readiness(self._run("pg_isready", *arguments, cwd=Path("/")).returncode)

    def _check(self, program: str, *arguments: str, cwd: Path) -> None:
        done = self._run(program, *arguments, cwd=cwd)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
            errors = [line for line in lines if "error:" in line or "FATAL:" in line]
            raise DriverUnavailableError((errors or lines)[-1])

    def _run(self, program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        account = self.account
        return subprocess.run(  # noqa: S603 - our own programs, no shell
            [self.bin / program, *arguments],
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            cwd=cwd,
            # PGPORT, PGDATA and their like would reach the server; LC_ALL its messages.
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * _TIMEOUT_SECONDS,
        )


def _options(socket_dir: Path, settings: Mapping[str, str]) -> str:
    settings = {
        "listen_addresses": "",
        "port": str(PORT),
        **settings,
        "unix_socket_directories": f'"{socket_dir}"',
        "unix_socket_permissions": "0700",
    }
    return " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())


def server_account(data: Path) -> Account | None:
    """Return who shall run the server of a cluster: nobody else unless we are root.

    As root: the owner of the cluster if there is one, else a system user that is there for
    PostgreSQL, else a new one.
    """
    if os.geteuid():
        return None
    if data.exists() and data.stat().st_uid:
        return _account(pwd.getpwuid(data.stat().st_uid))
    for name in (_ACCOUNT_NAME, "postgres"):
        try:
            return _account(pwd.getpwnam(name))
        except KeyError:
            continue
    return _new_account()


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _new_account() -> Account:
    arguments = ("--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _ACCOUNT_NAME)
    try:
        subprocess.run(["useradd", *arguments], check=True, capture_output=True)  # noqa: S603, S607 - as root, the system's own
        return _account(pwd.getpwnam(_ACCOUNT_NAME))
    except (OSError, subprocess.CalledProcessError, KeyError) as exc:
        msg = (
            "PostgreSQL does not run as root and no system user could be made for it:"
            " start esync as an ordinary user, or add a user named postgres"
        )
        raise SettingError(msg) from exc


def _forget_recycled_pid(data: Path) -> None:
    """Remove the lock of a server that is gone, when its number belongs to another program now.

    After a reboot PostgreSQL takes any process of that number and user for itself and refuses to
    start. Linux only; elsewhere the message tells which file to remove.
    """
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text().splitlines()[0])
        program = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError, IndexError):
        return
    if program != "postgres":
        log.warning("removed %s: process %d is %r, not PostgreSQL", lock, pid, program)
        lock.unlink()


def _reason(server_log: Path, said: str) -> str:
    """Return the line that says why a server did not start."""
    try:
        lines = server_log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    fatal = [line.partition("FATAL:")[2].strip() for line in lines if "FATAL:" in line]
    fallback = said.strip().splitlines() or ["no message"]
    return f"{fatal[-1]}; see {server_log}" if fatal else fallback[-1]
