"""What the other tests stand on: the cluster, its databases, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from fix_spawn import clean_environment
from fix_wait import wait_until

ABANDON = """
import sys, time
from fix_cluster import OwnServer
own = OwnServer()
print(own.folder, own.pid, flush=True)
time.sleep(600)
"""


def test_databases_are_fresh_and_have_the_schema(make_database):
    first, second = make_database(), make_database()
    with psycopg.connect(first) as conn:
        conn.execute("INSERT INTO message_queue (task_name, task_key) VALUES ('A', '1')")
    with psycopg.connect(second) as conn:
        assert conn.execute("SELECT count(*) FROM message_queue").fetchone() == (0,)


def test_empty_database_has_no_tables(empty_database):
    with psycopg.connect(empty_database) as conn:
        found = conn.execute("SELECT to_regclass('message_queue')").fetchone()
    assert found == (None,)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restart_keeps_what_was_committed(cluster, empty_database, mode):
    with psycopg.connect(empty_database) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    pid = cluster.pid
    cluster.restart(mode)
    with psycopg.connect(empty_database) as conn:
        assert conn.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert cluster.pid != pid


def test_start_after_kill_recovers(cluster, empty_database):
    with psycopg.connect(empty_database) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(cluster.pid, signal.SIGKILL)
    cluster.start()
    with psycopg.connect(empty_database) as conn:
        assert conn.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_terminate_ends_only_sessions_that_match(cluster, empty_database):
    victim = psycopg.connect(empty_database, application_name="esync:pop:1")
    bystander = psycopg.connect(empty_database, application_name="esync:finish:1")
    assert cluster.terminate("esync:pop:%", database=cluster.database_of(empty_database)) == 1
    with victim, pytest.raises(psycopg.OperationalError):
        victim.execute("SELECT 1")
    with bystander:
        assert bystander.execute("SELECT 1").fetchone() == (1,)


def test_spawn_runs_python_with_the_esync_under_test(spawn):
    process = spawn(module="esync.version", env={"ESYNC_DSN": "nowhere"})
    assert process.wait() == 0


def test_spawned_process_that_was_stopped_is_ended(spawn):
    process = spawn("import time; time.sleep(600)", module="timeit")
    process.signal(signal.SIGSTOP)
    process.end()
    assert process.wait() == -signal.SIGKILL


def test_server_of_a_killed_test_run_is_removed():
    tests = Path(__file__).parents[1]
    env = {**clean_environment(), **_chosen_programs()}
    env["PYTHONPATH"] += f"{os.pathsep}{tests}"
    run = subprocess.Popen(
        [sys.executable, "-c", ABANDON], stdout=subprocess.PIPE, text=True, env=env
    )
    folder, pid = run.stdout.readline().split()
    run.kill()
    run.communicate(timeout=30)
    wait_until(lambda: not Path(folder).exists(), 30)
    wait_until(lambda: not is_alive(int(pid)))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _chosen_programs() -> dict[str, str]:
    name = "ESYNC_TEST_PG_BIN"
    return {name: os.environ[name]} if name in os.environ else {}
