"""The schema: on an empty database, on the tables of the Go library, twice at once."""

from __future__ import annotations

import threading
from uuid import UUID, uuid4

import psycopg
import pytest

from esync.driver import RunnerInfo, WorkerInfo
from esync.errors import DriverUnavailableError, SchemaError, SettingError
from esync.postgres import migrate as migrations
from esync.postgres.driver import PostgresDriver
from esync.postgres.migrate import check, migrate, to_sql

# The table as the README of the Go library prints it today.
LATER = """
CREATE TABLE public.message_queue(
    message_queue_id uuid NOT NULL DEFAULT gen_random_uuid(),
    data jsonb NOT NULL DEFAULT '{}',
    task_key varchar(64) NOT NULL,
    task_name varchar(64) NOT NULL,
    created_at timestamptz DEFAULT Now(),
    created_by varchar(64) NOT NULL,
    last_attempted timestamptz NOT NULL DEFAULT Now(),
    state varchar(16) NOT NULL,
    last_attempt_message varchar NOT NULL,
    do_after timestamptz NOT NULL DEFAULT Now(),
    CONSTRAINT message_queue_id_pk PRIMARY KEY (message_queue_id)
)
"""
EARLIER = "\n".join(
    line for line in LATER.splitlines() if "created_by" not in line and "do_after" not in line
)
ROWS = """
INSERT INTO message_queue (
    message_queue_id, data, state, task_key, task_name, created_at, last_attempted,
    last_attempt_message{columns}
)
SELECT
    gen_random_uuid(),
    jsonb_build_object('n', n),
    (ARRAY['READY', 'IN PROGRESS', 'RETRY', 'DONE', 'FAILED', 'CANCELLED'])[1 + n % 6],
    'key-' || n % 7,
    'legacy',
    CASE WHEN n % 5 > 0 THEN now() - n * interval '1 minute' END,
    now() - n * interval '1 minute',
    'message ' || n{values}
FROM generate_series(1, 120) AS n
"""


def make_legacy(dsn, table):
    columns, values = ("", "")
    if table is LATER:
        columns, values = ", do_after, created_by", ", now() - interval '1 hour', 'go'"
    with psycopg.connect(dsn) as conn:
        conn.execute(table)
        conn.execute(ROWS.format(columns=columns, values=values))
        return file_of(conn)


def file_of(conn):
    """Return the file that holds the table: another one after a rewrite."""
    return conn.execute("SELECT pg_relation_filenode('message_queue')").fetchone()[0]


def query(dsn, text, params=None):
    with psycopg.connect(dsn) as conn:
        return conn.execute(text, params).fetchall()


def worker_on(driver, *names):
    worker = WorkerInfo(worker_id=uuid4(), host="h", pid=1, slots=4, lease=300.0, version="t")
    driver.register(worker, [RunnerInfo(name=name, slots=4) for name in names])
    return worker.worker_id


def test_an_empty_database_gets_the_schema_once(empty_database):
    with pytest.raises(SchemaError, match="run `esync migrate`"):
        check(empty_database)
    assert migrate(empty_database) == [m.name for m in migrations.list_migrations()]
    assert migrate(empty_database) == []
    check(empty_database)


@pytest.mark.parametrize("table", [EARLIER, LATER], ids=["eight-columns", "later"])
def test_taking_over_loses_and_rewrites_nothing(empty_database, table):
    file = make_legacy(empty_database, table)
    text = "SELECT message_queue_id, data, state, task_key FROM message_queue ORDER BY 1"
    before = query(empty_database, text)
    migrate(empty_database)
    after = query(empty_database, text)
    assert [row[:2] for row in after] == [row[:2] for row in before]
    changed = {(a[2], b[2]) for a, b in zip(before, after, strict=True) if a[2] != b[2]}
    assert changed <= {("IN PROGRESS", "RETRY")}
    with psycopg.connect(empty_database) as conn:
        assert file_of(conn) == file


@pytest.mark.parametrize("table", [EARLIER, LATER], ids=["eight-columns", "later"])
def test_rows_taken_over_are_numbered_by_their_age(empty_database, table):
    make_legacy(empty_database, table)
    migrate(empty_database)
    rows = query(
        empty_database,
        "SELECT state, created_at, seq FROM message_queue ORDER BY seq, created_at NULLS FIRST",
    )
    assert {seq for state, _, seq in rows if state in ("DONE", "CANCELLED")} == {0}
    open_rows = [(created, seq) for state, created, seq in rows if seq]
    ages = [created for created, _ in open_rows]
    assert len({seq for _, seq in open_rows}) == len(open_rows)
    assert ages[: ages.count(None)] == [None] * ages.count(None)
    assert ages[ages.count(None) :] == sorted(ages[ages.count(None) :])


@pytest.mark.parametrize("table", [EARLIER, LATER], ids=["eight-columns", "later"])
def test_one_attempt_per_key_is_left_in_progress(empty_database, table):
    make_legacy(empty_database, table)
    migrate(empty_database)
    counts = query(
        empty_database,
        "SELECT count(*) FROM message_queue WHERE state = 'IN PROGRESS' GROUP BY task_key",
    )
    assert counts
    assert {count for (count,) in counts} == {1}


def test_rows_whose_state_is_some_other_word_stay_as_they_are(empty_database):
    make_legacy(empty_database, EARLIER)
    words = ["", "SKIPPED", "ready"]
    with psycopg.connect(empty_database) as conn:
        conn.execute(
            "INSERT INTO message_queue (message_queue_id, task_key, task_name, state,"
            " last_attempt_message) SELECT gen_random_uuid(), 'odd', 'legacy', word, ''"
            " FROM unnest(%s::text[]) AS word",
            [words],
        )
    migrate(empty_database)
    driver = PostgresDriver(empty_database)
    assert sorted(row.state for row in driver.find_tasks("odd", name="legacy")) == words
    driver.close()


@pytest.mark.parametrize("table", [EARLIER, LATER], ids=["eight-columns", "later"])
def test_inserts_of_the_original_go_on_and_are_performed(empty_database, table):
    make_legacy(empty_database, table)
    migrate(empty_database)
    task_id = uuid4()
    columns, values = ("", "")
    if table is LATER:
        columns, values = ", do_after, created_by", ", now(), 'go'"
    with psycopg.connect(empty_database) as conn:
        conn.execute(
            "INSERT INTO message_queue (message_queue_id, data, state, task_key, task_name,"
            f" created_at, last_attempted, last_attempt_message{columns})"
            f" VALUES (%s, '{{}}', 'READY', 'fresh', 'go', now(), now(), ''{values})",
            [task_id],
        )
    driver = PostgresDriver(empty_database)
    popped = driver.pop("go", worker_id=worker_on(driver, "go"), count=1)
    driver.close()
    assert [claim.task_id for claim in popped.claims] == [task_id]


def test_name_and_key_are_enough_for_an_insert(database, driver):
    with psycopg.connect(database) as conn:
        conn.execute("INSERT INTO message_queue (task_name, task_key) VALUES ('sql', 'k')")
    (claim,) = driver.pop("sql", worker_id=worker_on(driver, "sql"), count=5).claims
    assert (claim.key, claim.raw_data, claim.created_by) == ("k", "{}", "postgres")


def test_requeued_rows_of_a_table_taken_over_do_not_stop_the_runner(empty_database):
    with psycopg.connect(empty_database) as conn:
        conn.execute(EARLIER)
        conn.execute(
            "INSERT INTO message_queue (task_name, task_key, state, last_attempt_message)"
            " VALUES ('legacy', 'k', 'DONE', ''), ('legacy', 'k', 'DONE', '')"
        )
    migrate(empty_database)
    driver = PostgresDriver(empty_database)
    # Both have seq 0: the id decides which is newer.
    query_ids = "UPDATE message_queue SET state = 'READY' RETURNING message_queue_id"
    ids: list[UUID] = [row[0] for row in query(empty_database, query_ids)]
    popped = driver.pop("legacy", worker_id=worker_on(driver, "legacy"), count=10)
    driver.close()
    assert [claim.task_id for claim in popped.claims] == [max(ids)]
    assert popped.superseded == 1


def test_migrations_at_once_are_harmless(empty_database):
    applied, failures = [], []

    def run():
        try:
            applied.extend(migrate(empty_database))
        except Exception as exc:  # noqa: BLE001 - the test reports it
            failures.append(exc)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert applied == [m.name for m in migrations.list_migrations()]


def test_a_table_in_use_is_not_waited_for_long(empty_database, monkeypatch):
    make_legacy(empty_database, EARLIER)
    first, *_ = migrations.list_migrations()
    hasty = first._replace(text=first.text.replace("'5s'", "'100ms'"))
    monkeypatch.setattr(migrations, "list_migrations", lambda: (hasty,))
    with psycopg.connect(empty_database) as conn:
        conn.execute("LOCK TABLE message_queue IN ACCESS SHARE MODE")
        with pytest.raises(DriverUnavailableError, match="held by another session"):
            migrate(empty_database)
    assert migrate(empty_database) == [first.name]


def test_an_older_schema_is_told_and_brought_up_to_date(empty_database, monkeypatch):
    files = migrations.list_migrations()
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "list_migrations", lambda: files[:1])
        assert migrate(empty_database) == [files[0].name]
    with pytest.raises(SchemaError, match=r"version 1, this esync needs 5; run `esync migrate`"):
        check(empty_database)
    assert migrate(empty_database) == [file.name for file in files[1:]]
    check(empty_database)
    indexes = "SELECT indexdef FROM pg_indexes WHERE indexname = 'message_queue_' || %s"
    ((cancel,),) = query(empty_database, indexes, ["cancel"])
    assert cancel.endswith("(claimed_by) WHERE (cancel_requested IS NOT NULL)")
    ((key,),) = query(empty_database, indexes, ["key"])
    assert '(state)::text COLLATE "C"' in key.partition("WHERE")[2].replace("((", "(")


def test_workers_of_before_the_locks_may_still_write_themselves_in(database):
    query(database, "INSERT INTO message_queue_sleeper VALUES ('a', gen_random_uuid()) RETURNING 1")
    query(database, "DELETE FROM message_queue_sleeper RETURNING 1")


def test_names_of_ones_own_are_quoted(empty_database):
    migrate(empty_database, schema="Sync Ünit", table="Order; DROP")
    driver = PostgresDriver(empty_database, schema="Sync Ünit", table="Order; DROP")
    with psycopg.connect(empty_database) as conn:
        conn.execute(
            "INSERT INTO \"Sync Ünit\".\"Order; DROP\" (task_name, task_key) VALUES ('a', 'b')"
        )
    popped = driver.pop("a", worker_id=worker_on(driver, "a"), count=1)
    driver.close()
    assert len(popped.claims) == 1


def test_two_queues_live_side_by_side(empty_database):
    migrate(empty_database)
    migrate(empty_database, table="other")
    check(empty_database)
    check(empty_database, table="other")


@pytest.mark.parametrize("table", ["", "x" * 49, "a\x00b", "{table}"])
def test_impossible_names_are_refused(table):
    with pytest.raises(SettingError, match="table must"):
        PostgresDriver("host=nowhere", table=table)


def test_the_printed_sql_is_complete(empty_database):
    with psycopg.connect(empty_database, autocommit=True) as conn:
        conn.execute(to_sql())
    check(empty_database)


def test_a_newer_schema_is_refused(database):
    with psycopg.connect(database) as conn:
        conn.execute("INSERT INTO message_queue_migration (version) VALUES (999)")
    with pytest.raises(SchemaError, match="version 999"):
        migrate(database)
    with pytest.raises(SchemaError, match="upgrade esync"):
        check(database)
