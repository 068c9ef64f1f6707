"""The examples of the README, run as written."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from fix_spawn import clean_environment
from fix_wait import wait_until

README = (Path(__file__).parents[2] / "README.md").read_text()


def example(name: str) -> str:
    found = re.findall(
        rf"^<!-- example: {name} -->\n```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL
    )
    assert len(found) == 1
    return found[0]


@pytest.fixture
def example_folder(tmp_path) -> Path:
    folder = tmp_path / "examples"
    folder.mkdir()
    for name in ("shop.py", "producer.py"):
        (folder / name).write_text(example(name))
    return folder


def states(dsn: str) -> dict[str, str]:
    with psycopg.connect(dsn) as conn:
        return dict(conn.execute("SELECT task_key, state FROM message_queue").fetchall())


def produce(folder: Path, dsn: str) -> None:
    command = [sys.executable, "-W", "error", "producer.py"]
    env = {**clean_environment(), "ESYNC_DSN": dsn}
    subprocess.run(command, cwd=folder, env=env, check=True, timeout=60)


def test_library_example_is_as_short_as_it_should_be():
    assert len([line for line in example("shop.py").splitlines() if line.strip()]) <= 25


def test_producer_adds_what_the_readme_says(database, example_folder):
    produce(example_folder, database)
    assert states(database) == dict.fromkeys(("42", "43", "44", "45"), "READY")


def test_worker_performs_what_was_added(database, example_folder, spawn):
    produce(example_folder, database)
    added = spawn("add", "customer.sync", "0", dsn=database)
    assert added.wait() == 0, added.stderr
    env = {"PYTHONPATH": f"{clean_environment()['PYTHONPATH']}:{example_folder}"}
    worker = spawn("worker", "shop:app", "--headless", dsn=database, env=env)
    expected = dict.fromkeys(("42", "43", "44", "45"), "DONE") | {"0": "FAILED"}
    wait_until(lambda: states(database) == expected or not worker.is_running, 30)
    assert states(database) == expected, worker.stderr
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
