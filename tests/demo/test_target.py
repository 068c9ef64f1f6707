from __future__ import annotations

import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from fix_wait import wait_until

from esync.demo.chaos import POLITE, Chaos, Weather
from esync.demo.record import Collection, Record
from esync.errors import EsyncError, SettingError

CUSTOMERS = Collection.CUSTOMERS
KEYS = ["1", "K/7 ä?#%", "..", "顧客 & <b>", "a b", "'; --", "x" * 500, "é" * 500, "💶" * 400]


def record(key, version=1, **fields):
    return Record(key=key, version=version, fields=fields)


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
def test_any_key_can_be_stored_read_and_deleted(target, key):
    assert target.put(CUSTOMERS, record(key, name='Zoé\n"x"')).status == 200
    answer = target.get(CUSTOMERS, key)
    assert Record(**answer.content) == record(key, name='Zoé\n"x"')
    assert target.delete(CUSTOMERS, key).status == 200
    assert target.get(CUSTOMERS, key).status == 404


def test_deleting_what_is_not_there_is_404(target):
    assert target.delete(CUSTOMERS, "1").status == 404


def test_a_record_is_replaced(target):
    target.put(CUSTOMERS, record("1", 1, name="a"))
    target.put(CUSTOMERS, record("1", 2, name="b"))
    assert list(target.scan(CUSTOMERS)) == [record("1", 2, name="b")]


def test_an_older_version_replaces_a_newer_one_and_is_counted(target):
    target.put(CUSTOMERS, record("1", 2))
    target.put(CUSTOMERS, record("1", 1))
    assert list(target.scan(CUSTOMERS)) == [record("1", 1)]
    assert target.stats()["older after newer"] == 1


def test_collections_do_not_mix(target):
    target.put(Collection.INVOICES, record("1"))
    assert list(target.scan(CUSTOMERS)) == []


def test_a_scan_yields_every_record_in_the_order_of_the_bytes(target):
    keys = [f"k{n}" for n in range(1100)] + KEYS
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: target.put(CUSTOMERS, record(key)), keys))
    found = [found.key for found in target.scan(CUSTOMERS)]
    assert found == sorted(keys, key=lambda key: key.encode())


def test_refused_customers_are_answered_422_and_remembered(run_target):
    with run_target(replace(POLITE, refuse_share=1.0)) as target:
        answer = target.put(CUSTOMERS, record("1", 7))
        assert answer.status == 422
        assert target.refusals(CUSTOMERS)["1"]["version"] == 7
        assert list(target.scan(CUSTOMERS)) == []


def test_invoices_are_never_refused_for_good(run_target):
    with run_target(replace(POLITE, refuse_share=1.0)) as target:
        assert target.put(Collection.INVOICES, record("1")).status == 200


def test_above_the_rate_the_answer_is_429_with_the_seconds_to_wait(run_target):
    with run_target(replace(POLITE, rate=5.0)) as target:
        answers = [target.put(CUSTOMERS, record("1", n)) for n in range(10)]
    late = [answer for answer in answers if answer.status == 429]
    assert [answer.status for answer in answers[:5]] == [200] * 5
    assert late
    assert all(answer.retry_after == 1.0 for answer in late)


def test_a_busy_target_has_written_half_of_what_it_denies(run_target):
    with run_target(replace(POLITE, busy_share=1.0)) as target:
        answers = {target.put(CUSTOMERS, record(str(n))).status for n in range(100)}
        written = len(list(target.scan(CUSTOMERS)))
    assert answers == {503}
    assert 20 < written < 80


def test_a_slow_target_takes_its_time(run_target):
    with run_target(replace(POLITE, slow_share=1.0, slow=0.2)) as target:
        start = time.monotonic()
        target.get(CUSTOMERS, "1")
        assert time.monotonic() - start >= 0.2


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"PUT /customers/1 HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", b"400"),
        (b"PUT /customers/1 HTTP/1.1\r\nContent-Length: 1\r\n\r\n{", b"400"),
        (b"PUT /customers/1 HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n", b"413"),
        (b"PUT /customers/1 HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"413"),
        (b"PUT /customers HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"404"),
        (b"PUT /others/1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"404"),
        (b"GET /customers?limit=x HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /health HTTP/1.1\r\n\r\n", b"200"),
        (b"PATCH /customers/1 HTTP/1.1\r\n\r\n", b"501"),
    ],
)
def test_odd_requests_are_answered(target, request_text, status):
    with socket.create_connection(("127.0.0.1", target.process.port), 5) as conn:
        conn.sendall(request_text)
        assert conn.recv(100).split(b" ")[1] == status


def test_a_client_survives_a_restart_of_the_connection(run_target):
    with run_target() as target:
        target.put(CUSTOMERS, record("1"))
        for connection in target._idle:
            connection.sock.shutdown(socket.SHUT_RDWR)
        assert target.get(CUSTOMERS, "1").status == 200


def test_a_request_that_ends_after_the_close_leaves_no_connection_behind(run_target):
    with run_target() as target:
        assert target.put(CUSTOMERS, record("1")).status == 200
        connection = target._idle.pop()
        target.close()
        assert target._ask(connection, "GET", "/stats", body=None).status == 200
        assert connection.sock is None
        assert target.get(CUSTOMERS, "1").status == 200
        assert not target._idle


def test_which_customers_are_refused_depends_on_the_key_alone():
    keys = [str(n) for n in range(10_000)]
    refused = [key for key in keys if Chaos().has_refused(key)]
    assert refused == [key for key in keys if Chaos().has_refused(key)]
    assert 100 < len(refused) < 300


def test_the_weather_is_the_same_for_the_same_seed():
    one, other = (Weather(Chaos(), seed=3) for _ in range(2))
    assert [one.draw() for _ in range(50)] == [other.draw() for _ in range(50)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"busy_share": 1.5}, "busy_share must be between 0 and 1, got 1.5"),
        ({"rate": -1}, "rate must be between 0 and 100000, got -1"),
        ({"slow": float("nan")}, "slow must be between 0 and 60, got nan"),
    ],
)
def test_a_wrong_setting_names_its_rule(settings, said):
    with pytest.raises(SettingError, match=said):
        Chaos(**settings)


def test_the_target_ends_and_leaves_nothing_when_its_parent_is_killed(temporary_folder):
    code = (
        "import sys; from esync.demo.chaos import POLITE;"
        "from esync.demo.target_process import TargetProcess;"
        "target = TargetProcess(chaos=POLITE);"
        "print(target.port, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        port = int(parent.stdout.readline())
        assert is_listening(port)
        assert list(temporary_folder.iterdir())
        parent.kill()
    wait_until(lambda: not is_listening(port))
    wait_until(lambda: not list(temporary_folder.iterdir()))


def test_the_target_shares_nothing_with_the_queue_that_feeds_it():
    code = "import sys, esync.demo.target; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    loaded = set(said.stdout.split())
    assert not {"psycopg", "esync.engine", "esync.postgres"} & loaded


def test_a_target_that_was_killed_is_noticed(run_target):
    with run_target() as target:
        target.process.check()
        target.process._process.kill()
        target.process._process.wait()
        with pytest.raises(EsyncError, match="its process has ended with exit code -9"):
            target.process.check()


def test_a_target_that_cannot_start_is_an_error(tmp_path, run_target):
    (tmp_path / "target.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(EsyncError, match="could not start, exit code 1"), run_target():
        pass


def is_listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionError:  # refused, or reset while it closes
        return False
    return True
