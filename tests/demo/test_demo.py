from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys

import psycopg
import pytest
from fix_wait import wait_until

from esync.demo import open_demo, run_headless
from esync.demo.chaos import POLITE, Chaos
from esync.demo.record import Collection
from esync.errors import DriverUnavailableError, EsyncError, SettingError, TaskValueError

CUSTOMERS = Collection.CUSTOMERS
QUICK = Chaos(rate=0.0, slow_share=0.0, busy_share=0.02, refuse_share=0.1)


@pytest.fixture
def csv(tmp_path):
    """A user's own file: a header of its own, keys of every kind."""
    lines = ["kind;ident;who"]
    lines += [f"a;{n};name {n}" for n in range(30)]
    lines += [f"b;{'long ' * 20}{n};Zoë" for n in range(10)]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def open_quick(empty_database, csv):
    def open_quick(**settings):
        return open_demo(dsn=empty_database, csv=csv, **{"chaos": QUICK, "rate": 40, **settings})

    return open_quick


def count_of_schemas(dsn):
    with psycopg.connect(dsn) as conn:
        row = conn.execute(
            "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'esync_demo%'"
        ).fetchone()
    return row[0]


def test_both_sides_end_up_equal_after_edits_under_chaos(open_quick):
    with open_quick() as demo:
        demo.start()
        wait_until(lambda: demo.load.edits >= 120, 30)
        comparison = demo.finish()
    assert comparison.is_equal, comparison.describe()
    assert comparison.is_drained
    assert comparison.equal > 30
    assert comparison.edits >= 120


def test_refused_records_are_those_of_the_rule(open_quick):
    with open_quick(rate=0) as demo:
        demo.start()
        comparison = demo.finish()
        keys = [record.key for record in demo.source.scan(CUSTOMERS)]
    refused = [key for key in keys if QUICK.has_refused(key)]
    assert refused
    assert [row.key for row in comparison.refused] == refused


def test_nothing_is_repaired_in_a_sound_run_and_no_older_version_comes_late(open_quick):
    with open_quick(chaos=Chaos(rate=0.0, slow_share=0.0)) as demo:
        demo.start()
        wait_until(lambda: demo.load.edits >= 60, 30)
        comparison = demo.finish()
    assert comparison.repaired == 0
    assert "older after newer" not in comparison.answers


def test_a_row_changed_behind_the_queue_is_found(open_quick):
    with open_quick(rate=0, chaos=POLITE) as demo:
        demo.start()
        assert demo.finish().is_equal
        record = demo.source.read(CUSTOMERS, "7")
        demo.target.put(CUSTOMERS, dataclasses.replace(record, fields={"kind": "tampered"}))
        comparison = demo.finish()
    assert [row.key for row in comparison.differences] == ["7"]


def test_without_a_worker_draining_is_given_up_and_said(open_quick):
    with open_quick(rate=0) as demo:
        comparison = demo.finish(stall_limit=0.5)
    assert comparison.waiting == 40
    assert not comparison.is_drained
    assert not comparison.is_equal


def test_a_target_that_is_gone_is_one_clear_line(open_quick):
    with open_quick(rate=0) as demo:
        demo._process._process.kill()
        demo._process._process.wait()
        with pytest.raises(EsyncError, match="target: its process has ended with exit code -9"):
            demo.finish()


def test_both_sides_end_up_equal_after_every_connection_was_lost(
    open_quick, cluster, empty_database
):
    with open_quick() as demo:
        demo.start()
        wait_until(lambda: demo.load.edits >= 20, 30)
        name = psycopg.conninfo.conninfo_to_dict(empty_database)["dbname"]
        assert cluster.terminate("esync:%", database=name) > 3
        wait_until(lambda: demo.load.edits >= 60, 30)
        comparison = demo.finish()
    assert comparison.is_equal, comparison.describe()
    assert comparison.is_drained


def test_the_demo_leaves_no_schema_and_no_process_behind(open_quick, empty_database):
    with open_quick() as demo:
        process = demo._process
        assert count_of_schemas(empty_database) == 1
    assert count_of_schemas(empty_database) == 0
    assert process._process.returncode == 0


def test_headless_exits_with_0_when_both_sides_are_equal(empty_database, csv):
    lines = []
    code = run_headless(1, dsn=empty_database, csv=csv, chaos=QUICK, say=lines.append)
    assert code == 0
    assert "source and target are equal" in lines[-1]


def test_headless_with_the_shipped_customers_ends_early_on_a_signal(empty_database):
    code = "import sys; from esync.demo import run_headless; sys.exit(run_headless(600, dsn=DSN))"
    with subprocess.Popen(
        [sys.executable, "-c", code.replace("DSN", repr(empty_database))],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert next(line for line in process.stdout if "tasks wait" in line)
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=90)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert "were refused for good" in said


@pytest.mark.parametrize("seconds", [-1, float("nan"), 1e9])
def test_wrong_seconds_name_their_rule(seconds):
    with pytest.raises(SettingError, match="seconds must be 0 to 86400"):
        run_headless(seconds)


def test_a_wrong_file_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(TaskValueError, match="csv must be a file that can be read"):
        open_demo(csv=tmp_path / "missing.csv")


def test_a_wrong_rate_is_refused_before_anything_starts(csv):
    with pytest.raises(SettingError, match="rate must be 0 to 1000"):
        open_demo(csv=csv, rate=-1)


def test_a_database_that_is_away_is_one_clear_line(csv):
    with pytest.raises(DriverUnavailableError, match="the demo's database: it cannot be reached"):
        open_demo(dsn="host=/nowhere", csv=csv)
