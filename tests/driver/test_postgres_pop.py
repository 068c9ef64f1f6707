"""What the pop of PostgresDriver must survive: hot keys, held rows, odd rows, bad statistics."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest
from fix_wait import wait_until
from query_plans import (
    TABLE,
    compared,
    explain,
    explain_prepared,
    nodes_of,
    prepare,
    scans_of,
    touched,
)

from esync.driver import RunnerInfo, WorkerInfo
from esync.postgres.lane import check_conninfo, connect
from esync.postgres.runner import POP_BUDGET, RESCUE_LIMIT
from esync.task import Finish, TaskState, new_task

NAME = "pop"
HAS_WAITED = """
SELECT count(*) > 0 FROM pg_locks
WHERE NOT granted AND waitstart < clock_timestamp() - interval '100 ms'
"""
IS_SLEEPING = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


def request(key, **options):
    return new_task(NAME, key, created_by="test", **options)


@pytest.fixture
def worker_id(driver):
    return register(driver)


def register(driver):
    worker = WorkerInfo(worker_id=uuid4(), host="h", pid=1, slots=4, lease=300.0, version="t")
    driver.register(worker, [RunnerInfo(name=NAME, slots=4)])
    return worker.worker_id


@pytest.fixture
def sql(database):
    with psycopg.connect(database, autocommit=True) as conn:
        yield conn.execute


def fill(sql, *, rows, keys):
    sql(
        "INSERT INTO message_queue (task_name, task_key)"
        " SELECT %s, 'key-' || n %% %s FROM generate_series(1, %s) AS n",
        [NAME, keys, rows],
    )


def states(sql):
    return dict(sql("SELECT state, count(*) FROM message_queue GROUP BY state").fetchall())


def rollbacks(driver, sql):
    """Return how many transactions of this database have failed, the pops' up to now."""
    with driver._lane("pop").connection() as conn:
        conn.execute("SELECT pg_stat_force_next_flush()")
    return sql(
        "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()[0]


def test_a_hundred_thousand_requests_of_a_key_give_one_attempt(driver, worker_id, sql):
    fill(sql, rows=100_000, keys=1)
    pops, claims = [], []
    while not claims:
        pops.append(driver.pop(NAME, worker_id=worker_id, count=100))
        claims = pops[-1].claims
    assert len(claims) == 1
    assert pops[0].superseded == POP_BUDGET - 1
    assert states(sql) == {"IN PROGRESS": 1, "CANCELLED": 99_999}
    newest = sql("SELECT message_queue_id FROM message_queue ORDER BY seq DESC LIMIT 1")
    assert newest.fetchone() == (claims[0].task_id,)


@pytest.mark.parametrize(
    ("seconds", "superseded"),
    [(0.0, [399, 319, 255, 203, 199, 199]), (1e9, [399, 499, 624, 780, 975, 1219])],
)
def test_a_pop_supersedes_as_many_as_the_other_keys_can_wait_for(
    driver, worker_id, *, sql, monkeypatch, seconds, superseded
):
    monkeypatch.setattr("esync.postgres.runner._BUDGET_SECONDS", seconds)
    fill(sql, rows=5000, keys=1)
    pops = [driver.pop(NAME, worker_id=worker_id, count=1) for _ in superseded]
    assert [popped.superseded for popped in pops] == superseded


def test_a_running_hot_key_is_superseded_and_in_nobodys_way(driver, worker_id, sql):
    fill(sql, rows=1, keys=1)
    driver.pop(NAME, worker_id=worker_id, count=1)
    fill(sql, rows=30_000, keys=1)
    driver.add(request("other"))
    claims, superseded, skip = [], 0, ()
    while not claims:
        popped = driver.pop(NAME, worker_id=worker_id, count=100, skip_keys=skip)
        superseded += popped.superseded
        claims, skip = popped.claims, popped.blocked
    assert [claim.key for claim in claims] == ["other"]
    assert superseded == POP_BUDGET - 1


def test_a_newest_row_that_somebody_holds_is_never_overtaken(driver, worker_id, sql, database):
    fill(sql, rows=3, keys=1)
    with psycopg.connect(database) as holder:
        holder.execute("SELECT FROM message_queue WHERE seq = 3 FOR UPDATE")
        popped = driver.pop(NAME, worker_id=worker_id, count=10)
        assert (popped.claims, popped.blocked) == ((), ("key-0",))
        assert states(sql) == {"READY": 3}
    assert len(driver.pop(NAME, worker_id=worker_id, count=10).claims) == 1


def test_older_rows_that_somebody_holds_keep_their_key_from_being_claimed(
    driver, worker_id, sql, database
):
    fill(sql, rows=3, keys=1)
    driver.add(request("free"))
    with psycopg.connect(database) as holder:
        holder.execute("SELECT FROM message_queue WHERE seq = 1 FOR UPDATE")
        popped = driver.pop(NAME, worker_id=worker_id, count=10)
        assert [claim.key for claim in popped.claims] == ["free"]
        assert popped.superseded == 1
    (claim,) = driver.pop(NAME, worker_id=worker_id, count=10).claims
    assert (claim.key, states(sql)["CANCELLED"]) == ("key-0", 2)


def test_an_older_request_that_commits_late_is_performed_afterwards(
    driver, worker_id, sql, database
):
    insert = "INSERT INTO message_queue (task_name, task_key) VALUES (%s, 'k')"
    with psycopg.connect(database) as slow:
        slow.execute(insert, [NAME])
        sql(insert, [NAME])
        (newer,) = driver.pop(NAME, worker_id=worker_id, count=10).claims
        slow.commit()
    assert driver.pop(NAME, worker_id=worker_id, count=10).claims == ()
    finish = Finish(task_id=newer.task_id, attempt=1, state=TaskState.DONE, message="")
    driver.finish([finish], worker_id=worker_id)
    (older,) = driver.pop(NAME, worker_id=worker_id, count=10).claims
    assert sql(
        "SELECT seq FROM message_queue WHERE message_queue_id = %s", [older.task_id]
    ).fetchone() == (1,)


def test_what_python_cannot_read_does_not_fail_the_pop(driver, worker_id, sql):
    sql(
        "INSERT INTO message_queue (task_name, task_key, data, created_at, do_after) VALUES"
        " (%(name)s, 'deep', %(deep)s, 'infinity', '-infinity'),"
        " (%(name)s, 'long', %(long)s, '0044-03-15 BC', '4000-01-01 BC'),"
        " (%(name)s, 'good', '{}', NULL, now())",
        {"name": NAME, "deep": "[" * 5000 + "]" * 5000, "long": "9" * 5000},
    )
    claims = driver.pop(NAME, worker_id=worker_id, count=10).claims
    assert {claim.key for claim in claims} == {"deep", "long", "good"}


@pytest.mark.parametrize(
    "due", ["-infinity", "4714-11-24 00:00:00+00 BC", "4000-01-01 BC", "0001-01-01"]
)
def test_the_last_of_all_may_have_been_due_in_antiquity(driver, worker_id, sql, due):
    sql(
        "INSERT INTO message_queue (task_name, task_key, do_after) VALUES (%s, 'k', %s)",
        [NAME, due],
    )
    popped = driver.pop(NAME, worker_id=worker_id, count=10)
    assert len(popped.claims) == 1
    assert popped.place is not None


def test_behind_the_last_of_all_a_second_of_late_commits_is_seen(driver, worker_id, sql):
    insert = "INSERT INTO message_queue (task_name, task_key, do_after) VALUES (%s, %s, %s)"
    sql(insert, [NAME, "last", "2026-01-01 00:00:00+00"])
    place = driver.pop(NAME, worker_id=worker_id, count=10).place
    sql(insert, [NAME, "late", "2025-12-31 23:59:59.5+00"])
    sql(insert, [NAME, "too late", "2025-12-31 23:59:58+00"])
    popped = driver.pop(NAME, worker_id=worker_id, count=10, after=place)
    assert [claim.key for claim in popped.claims] == ["late"]


def test_a_queue_whose_next_task_is_infinitely_far_can_be_looked_at(driver, worker_id, sql):
    sql(
        "INSERT INTO message_queue (task_name, task_key, do_after) VALUES (%s, 'k', 'infinity')",
        [NAME],
    )
    look = driver.look([NAME], worker_id=worker_id)
    assert (look.due, look.next_due) == (frozenset(), None)


READS = "ANALYZE, BUFFERS, "


def test_a_look_for_what_has_just_become_due_does_not_read_what_was_before(driver, worker_id, sql):
    fill(sql, rows=20_000, keys=20_000)
    sql("UPDATE message_queue SET do_after = do_after - interval '1 hour'")
    whole = driver.look([NAME], worker_id=worker_id)
    assert whole.due == {NAME}
    assert 0 < whole.seconds < 60
    assert driver.look([NAME], worker_id=worker_id, due_within=60.0).due == frozenset()
    sql("UPDATE message_queue SET state = 'IN PROGRESS', claimed_by = %s", [worker_id])
    params = {"names": [NAME], "busy": [False], "worker_id": worker_id}
    with connect(driver._conninfo, purpose="plan", settings=driver._settings("pop")) as conn:
        new, whole = (
            explain(conn, driver, "look", {**params, "due_within": seconds}, options=READS)
            for seconds in (60.0, None)
        )
    assert new["Shared Hit Blocks"] * 5 < whole["Shared Hit Blocks"]


@pytest.mark.parametrize(("kind", "stream"), [("runner", None), ("runner", "s"), ("stream", "s")])
def test_a_pop_gives_up_while_another_worker_holds_the_runner_or_its_stream(
    driver, worker_id, sql, kind, stream
):
    fill(sql, rows=1, keys=1)
    name = NAME if kind == "runner" else stream
    before = rollbacks(driver, sql)
    sql("SELECT pg_advisory_lock(%s)", [driver.names.lock(kind, name)])
    popped = driver.pop(NAME, worker_id=worker_id, count=10, stream=stream)
    assert (popped.is_held, popped.is_exhausted, popped.claims) == (True, False, ())
    sql("SELECT pg_advisory_unlock_all()")
    popped = driver.pop(NAME, worker_id=worker_id, count=10, stream=stream)
    assert (popped.is_held, len(popped.claims)) == (False, 1)
    # It is no error: busy workers would fill the server's log.
    assert rollbacks(driver, sql) == before


def test_a_pop_that_waits_for_the_table_keeps_what_it_has_claimed(driver, worker_id, *, sql, conn):
    # Busy workers wait so for each other while the table grows: no reason to undo a pop.
    driver.pop(NAME, worker_id=worker_id, count=10)
    fill(sql, rows=3, keys=3)
    before = rollbacks(driver, sql)
    with ThreadPoolExecutor(1) as pool:
        with conn.transaction():
            conn.execute("LOCK TABLE message_queue IN SHARE MODE")
            popping = pool.submit(driver.pop, NAME, worker_id=worker_id, count=10)
            wait_until(lambda: popping.done() or sql(HAS_WAITED).fetchone()[0])
        popped = popping.result(timeout=30)
    assert (popped.is_held, len(popped.claims)) == (False, 3)
    assert rollbacks(driver, sql) == before


def test_a_row_that_cannot_be_stored_leaves_its_batch_unwritten(driver, worker_id, sql):
    fill(sql, rows=2, keys=2)
    claims = driver.pop(NAME, worker_id=worker_id, count=2).claims
    finishes = [
        Finish(task_id=claim.task_id, attempt=1, state=TaskState.DONE, message=message)
        for claim, message in zip(claims, ("good", "\x00"), strict=True)
    ]
    with pytest.raises(Exception, match="NUL"):
        driver.finish(finishes, worker_id=worker_id)
    assert states(sql) == {"IN PROGRESS": 2}


POP = {
    "name": NAME,
    "worker_id": uuid4(),
    "count": 100,
    "limit": 5,
    "stream": "s",
    "skip_keys": ["a"],
    "suspects": False,
    "budget": POP_BUDGET,
    "after_priority": 5,
    "after_due": "2000-01-01",
    "after_seq": 0,
}
FENCE = {
    "worker_id": uuid4(),
    "ids": [uuid4(), uuid4()],
    "attempts": [1, 2],
    "states": ["DONE", "RETRY"],
    "messages": ["", ""],
    "delays": [0.0, 1.0],
    "errors": [None, None],
}
STATEMENTS = {
    "pop": POP,
    "finish": FENCE,
    "recorded": FENCE,
    "release": FENCE,
    "look": {
        "names": [NAME, "other"],
        "busy": [False, False],
        "worker_id": uuid4(),
        "due_within": 2.0,
    },
    "report": {"task_id": uuid4(), "attempt": 1, "worker_id": uuid4(), "message": ""},
    "rescue": {
        "max_crashes": 3,
        "limit": 5000,
        "sweep": True,
        "worker_id": None,
        "channel": "c",
    },
    "unknown_names": {"forget_after": 1.0},
    "cancel_unknown": {"name": NAME, "grace": 1.0, "forget_after": 1.0},
    "task_count": {"name": NAME},
}


@pytest.mark.parametrize("rows", [0, 20_000])
@pytest.mark.parametrize("verb", STATEMENTS)
def test_no_statement_of_a_worker_scans_the_table(driver, database, sql, verb, rows):
    if rows:
        fill(sql, rows=rows, keys=rows)
        sql("UPDATE message_queue SET state = 'DONE' WHERE seq > 100")
        sql("ANALYZE message_queue")
    for plans in ("force_custom_plan", "force_generic_plan"):
        with connect(check_conninfo(database), purpose="plan") as conn:
            conn.execute(f"SET plan_cache_mode = {plans}")
            scans = list(scans_of(explain(conn, driver, verb, STATEMENTS[verb], options="")))
        assert scans
        assert not [scan for scan in scans if scan["Node Type"] == "Seq Scan"]


EMPTIED = (
    "INSERT INTO message_queue (task_name, task_key, state)"
    " SELECT 'old', n, CASE n WHEN 20000 THEN 'FAILED' ELSE 'DONE' END"
    " FROM generate_series(1, 20000) AS n;"
    "DELETE FROM message_queue WHERE state = 'DONE'"
)


# What PostgreSQL knows of the columns outlives the rows: all of one name, and in its order.
TRUNCATED = (
    (
        "INSERT INTO message_queue (task_name, task_key)"
        f" SELECT '{NAME}', n FROM generate_series(1, 20000) AS n"
    ),
    "ANALYZE message_queue",
    "TRUNCATE message_queue",
    "VACUUM ANALYZE message_queue",
)
BEFOREHAND = {
    "never analyzed": (),
    "analyzed": ("ANALYZE message_queue",),
    "emptied and analyzed": (EMPTIED, "VACUUM ANALYZE message_queue"),
    "truncated and analyzed": TRUNCATED,
}


@pytest.mark.parametrize("beforehand", BEFOREHAND.values(), ids=BEFOREHAND)
@pytest.mark.parametrize(("verb", "keys"), [("pop", 20_000), ("pop", 10_000), ("finish", 20_000)])
def test_a_plan_made_on_an_empty_queue_serves_a_full_one(
    driver, worker_id, *, sql, verb, keys, beforehand
):
    """A worker keeps its plans: they were made when it started, and nobody knew anything."""
    for statement in beforehand:
        sql(statement)
    params = {**STATEMENTS[verb], "worker_id": worker_id, "limit": None, "stream": None}
    settings = driver._settings(verb)
    with connect(driver._conninfo, purpose="plan", settings=settings) as conn:
        prepare(conn, driver, verb)
        explain_prepared(conn, driver, verb, params)
        fill(sql, rows=20_000, keys=keys)
        claims = driver.pop(NAME, worker_id=worker_id, count=1000).claims
        if verb == "finish":
            claims = claims[:100]
            params |= {
                "ids": [claim.task_id for claim in claims],
                "attempts": [claim.attempt for claim in claims],
                "states": ["DONE"] * 100,
                "messages": [""] * 100,
                "delays": [0.0] * 100,
                "errors": [None] * 100,
            }
        plan = explain_prepared(conn, driver, verb, params)
    # Per key: its place, its requests (looked at, then held), whether it runs, and the updates.
    assert 100 <= touched(scans_of(plan)) <= 100 * 10
    assert compared(plan) <= 100
    assert not [scan for scan in scans_of(plan) if scan["Node Type"] == "Seq Scan"]


@pytest.mark.parametrize("beforehand", BEFOREHAND.values(), ids=BEFOREHAND)
@pytest.mark.parametrize("verb", ["look", "unknown_names"])
def test_a_look_finds_the_first_tasks_by_their_order_whatever_its_plan_knew(
    driver, worker_id, *, sql, verb, beforehand
):
    for statement in beforehand:
        sql(statement)
    params = {**STATEMENTS[verb], "worker_id": worker_id}
    with connect(driver._conninfo, purpose="plan", settings=driver._settings("pop")) as conn:
        prepare(conn, driver, verb)
        explain_prepared(conn, driver, verb, params)
        fill(sql, rows=20_000, keys=20_000)
        driver.pop(NAME, worker_id=worker_id, count=1000)
        scans = list(scans_of(explain_prepared(conn, driver, verb, params)))
    assert touched(scans) <= 20
    assert {scan["Index Name"] for scan in scans} <= {f"{TABLE}_due", f"{TABLE}_cancel"}


@pytest.mark.parametrize("verb", ["look", "unknown_names"])
def test_a_look_finds_the_first_tasks_by_their_order_even_if_that_seems_dear(
    driver, worker_id, *, sql, verb
):
    params = {**STATEMENTS[verb], "worker_id": worker_id}
    with connect(driver._conninfo, purpose="plan", settings=driver._settings("pop")) as conn:
        # In place of statistics: with some of them all pending tasks were read and sorted.
        conn.execute("SET enable_indexscan = off")
        conn.execute("SET enable_indexonlyscan = off")
        prepare(conn, driver, verb)
        explain_prepared(conn, driver, verb, params)
        fill(sql, rows=20_000, keys=20_000)
        scans = list(scans_of(explain_prepared(conn, driver, verb, params)))
    assert touched(scans) <= 20
    assert {scan["Index Name"] for scan in scans} <= {f"{TABLE}_due", f"{TABLE}_cancel"}


def test_many_contested_keys_touch_few_rows_with_a_plan_made_on_an_empty_queue(
    driver, worker_id, sql
):
    params = {**STATEMENTS["pop"], "worker_id": worker_id, "limit": None, "stream": None}
    with connect(driver._conninfo, purpose="plan", settings=driver._settings("pop")) as conn:
        prepare(conn, driver, "pop")
        explain_prepared(conn, driver, "pop", params)
        fill(sql, rows=2000, keys=200)
        plan = explain_prepared(conn, driver, "pop", {**params, "count": 2000, "skip_keys": []})
    loops = [node["Actual Loops"] * node["Actual Rows"] for node in nodes_of(plan)]
    assert driver.get_task_count() == 200
    # Ten requests of each key, looked at a few times; joined one by one they were 400,000.
    assert max(loops) <= 200 * 200 + 2000
    assert compared(plan) <= 2000


def test_a_row_that_changes_while_it_is_popped_is_left_to_the_next_pop(driver, worker_id, sql):
    fill(sql, rows=2, keys=2)
    sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.seq = 1 THEN PERFORM pg_sleep(0.3); END IF; RETURN NEW; END $$"
    )
    sql(
        "CREATE TRIGGER slow BEFORE UPDATE ON message_queue FOR EACH ROW"
        " WHEN (NEW.state = 'IN PROGRESS') EXECUTE FUNCTION slow()"
    )
    with ThreadPoolExecutor() as pool:
        popping = pool.submit(driver.pop, NAME, worker_id=worker_id, count=10)
        wait_until(lambda: sql(IS_SLEEPING).fetchone()[0])
        sql("UPDATE message_queue SET priority = 6 WHERE seq = 2")
        first = popping.result(10)
    second = driver.pop(NAME, worker_id=worker_id, count=10)
    assert len(first.claims) + len(second.claims) == 2
    assert len(first.claims) == 2 or not first.is_exhausted


def test_a_rescue_gives_back_a_bounded_number_at_a_time(driver, sql):
    worker = WorkerInfo(worker_id=uuid4(), host="h", pid=1, slots=4, lease=0.5, version="t")
    driver.register(worker, [RunnerInfo(name=NAME, slots=4)])
    fill(sql, rows=RESCUE_LIMIT + 500, keys=RESCUE_LIMIT + 500)
    sql(
        "UPDATE message_queue SET state = 'IN PROGRESS', claimed_by = %s, attempts = 1",
        [worker.worker_id],
    )
    sql("UPDATE message_queue_worker SET heartbeat = heartbeat - interval '1 minute'")
    assert [driver.rescue(max_crashes=3).retried for _ in range(3)] == [RESCUE_LIMIT, 500, 0]


@pytest.mark.parametrize(
    ("sweep", "asks", "rows"),
    [(True, "nobody", 500), (True, "first", 500), (True, "second", 0), (False, "first", 0)],
)
def test_a_rescue_reads_what_runs_in_a_sweep_of_the_first_worker_only(
    driver, worker_id, *, sql, sweep, asks, rows
):
    workers = sorted([worker_id, register(driver)])
    fill(sql, rows=500, keys=500)
    driver.pop(NAME, worker_id=worker_id, count=500)
    with connect(driver._conninfo, purpose="plan") as conn:
        prepare(conn, driver, "rescue")
        sweeper = {"nobody": None, "first": workers[0], "second": workers[1]}[asks]
        params = {**STATEMENTS["rescue"], "sweep": sweep, "worker_id": sweeper}
        scans = list(scans_of(explain_prepared(conn, driver, "rescue", params)))
    assert touched([one for one in scans if one.get("Index Name") == f"{TABLE}_running"]) == rows


def test_a_first_worker_that_is_lost_and_held_leaves_the_sweep_to_the_next(driver, sql, database):
    first, second, gone = register(driver), register(driver), register(driver)
    sql("UPDATE message_queue_worker SET lease_seconds = 400 WHERE worker_id = %s", [second])
    sql("UPDATE message_queue_worker SET heartbeat = '2020-01-01' WHERE worker_id = %s", [first])
    fill(sql, rows=1, keys=1)
    driver.pop(NAME, worker_id=gone, count=1)
    driver.leave(gone)
    with psycopg.connect(database) as holder:
        holder.execute("SELECT FROM message_queue_worker WHERE worker_id = %s FOR UPDATE", [first])
        assert driver.rescue(max_crashes=3, worker_id=second) == (0, 1, 0)


def test_a_worker_row_that_somebody_holds_does_not_stop_the_rescue(driver, sql, database):
    for _ in range(2):
        worker = WorkerInfo(worker_id=uuid4(), host="h", pid=1, slots=4, lease=0.5, version="t")
        driver.register(worker, [])
    sql("UPDATE message_queue_worker SET heartbeat = heartbeat - interval '1 minute'")
    with psycopg.connect(database) as holder:
        holder.execute("SELECT FROM message_queue_worker LIMIT 1 FOR UPDATE")
        assert driver.rescue(max_crashes=3).workers == 1
    assert driver.rescue(max_crashes=3).workers == 1


def test_a_lost_row_that_somebody_holds_does_not_stop_the_rescue(driver, sql, database):
    worker = WorkerInfo(worker_id=uuid4(), host="h", pid=1, slots=4, lease=0.5, version="t")
    driver.register(worker, [RunnerInfo(name=NAME, slots=4)])
    fill(sql, rows=2, keys=2)
    assert len(driver.pop(NAME, worker_id=worker.worker_id, count=2).claims) == 2
    sql("UPDATE message_queue_worker SET heartbeat = heartbeat - interval '1 minute'")
    with psycopg.connect(database) as holder:
        holder.execute("SELECT FROM message_queue WHERE seq = 1 FOR UPDATE")
        assert driver.rescue(max_crashes=3).retried == 1
    assert driver.rescue(max_crashes=3).retried == 1


def test_errors_that_are_no_list_are_refused(sql):
    with pytest.raises(psycopg.errors.CheckViolation):
        sql("INSERT INTO message_queue (task_name, task_key, errors) VALUES ('a', 'b', '{}')")


def test_commits_are_durable_whatever_the_role_says(database):
    dsn = psycopg.conninfo.make_conninfo(database, options="-c synchronous_commit=off")
    with connect(check_conninfo(dsn), purpose="durable") as conn:
        assert conn.execute("SHOW synchronous_commit").fetchone() == ("on",)
