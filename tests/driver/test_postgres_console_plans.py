"""What operators read and write never reads a whole table, whatever the planner believes.

Under our session settings a plan without an index shows as a sequential scan; one with the wrong
index shows by the number of rows it touches.
"""

from __future__ import annotations

import psycopg
import pytest
from query_plans import TABLE, explain, scans_of, touched, without_condition

from esync.postgres.driver import PostgresDriver
from esync.postgres.reading import Reading
from esync.snapshot import Attribution, Filter
from esync.task import TaskState
from esync.testing.harness import Worker, new_task_id

BY = Attribution(who="ada", host="desk", via="cli")
NAMES = 4
PAGE = 50

WHOLE = {"overview_counts", "overview_running"}
"""Read a whole index on purpose: exact counts, measured; and what runs, which is little."""

FILL = """
INSERT INTO message_queue
    (task_name, task_key, state, last_attempted, last_attempt_message, do_after, superseded_by)
SELECT
    'N' || i % 4,
    CASE WHEN i % 5 = 0 THEN 'hot' ELSE 'k' || i / 10 END,
    s.state,
    now() - i * interval '1 s',
    'message ' || i,
    now() + (i % 1000 - 500) * interval '1 s',
    CASE WHEN i % 20 = 19 THEN gen_random_uuid() END
FROM generate_series(1, 100000) AS i
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN i % 20 = 19 THEN 'CANCELLED'
        WHEN i % 20 < 9 THEN 'DONE'
        WHEN i % 20 < 17 THEN 'READY'
        WHEN i % 20 = 17 THEN 'RETRY'
        ELSE 'FAILED'
    END AS state
) AS s
"""


@pytest.fixture(scope="module")
def fill(cluster, migrated_template):
    """Make databases with esync's schema; they are dropped after the module."""
    made = []

    def fill(*statements):
        made.append(cluster.create_database(template=migrated_template))
        with psycopg.connect(cluster.dsn(made[-1]), autocommit=True) as conn:
            conn.execute("ALTER TABLE message_queue SET (autovacuum_enabled = off)")
            for text in statements:
                conn.execute(text)
        return cluster.dsn(made[-1])

    yield fill
    for name in made:
        cluster.drop_database(name)


@pytest.fixture(scope="module", params=["empty", "never analyzed", "analyzed"])
def dsn(request, fill):
    return fill(
        *{"empty": (), "never analyzed": (FILL,), "analyzed": (FILL, f"VACUUM ANALYZE {TABLE}")}[
            request.param
        ]
    )


@pytest.fixture
def driver(dsn):
    driver = PostgresDriver(dsn)
    yield driver
    driver.close()


@pytest.fixture
def sent(driver, monkeypatch):
    """Every statement that operators' reading sends, with its parameters, by verb."""
    sent = []
    send = Reading.send

    def record(self, verb, **params):
        sent.append((verb, params))
        return send(self, verb, **params)

    monkeypatch.setattr(Reading, "send", record)
    Worker(driver, "N0")
    driver.get_overview()
    for slow in ("overview_counts", "overview"):
        driver._patience.learn(slow, was_slow=True)
        driver.get_overview()
    for where in _filters():
        page = driver.list_tasks(where, limit=PAGE)
        if page.next is not None:
            driver.list_tasks(where, limit=PAGE, after=page.next)
        driver.count_tasks(where, cap=100)
    driver.find_tasks("hot")
    driver.list_workers()
    driver.list_audit()
    rows = driver.list_tasks(Filter(), limit=1).rows
    driver.get_task(rows[0].task_id if rows else new_task_id())
    with driver._reading() as read:
        read.rows("list_rows", ids=[new_task_id()])
    return sent


def _filters():
    yield from (Filter(), Filter(names=("N0", "N1")), Filter(key="k17"), Filter(key="hot"))
    yield from (Filter(error="ssage 99"), Filter(since=60), Filter(key_prefix="k99"))
    yield from (Filter(ids=(new_task_id(),)), Filter(names=("nobody",)))
    yield from (Filter(states=(state,)) for state in TaskState)
    yield Filter(names=("N0",), states=(TaskState.FAILED,), error="no such text")


@pytest.mark.parametrize("plans", ["force_custom_plan", "force_generic_plan"])
def test_reading_uses_an_index_for_every_row_of_the_queue(driver, sent, plans):
    assert {verb for verb, _ in sent} >= WHOLE | {
        "names",
        "overview_runners",
        "overview_waiting",
        "overview_ended",
        "overview_capped_counts",
        "overview_minutes",
        "list_running",
        "list_pending",
        "list_finished",
        "list_odd",
        "list_rows",
        "pick_tasks",
        "find_tasks",
        "count_tasks",
        "get_task",
    }
    with driver._lane("look").connection() as conn:
        conn.execute(f"SET plan_cache_mode = {plans}")
        for verb, params in sent:
            scans = list(scans_of(explain(conn, driver, verb, params)))
            assert {scan["Node Type"] for scan in scans} <= {"Index Scan", "Index Only Scan"}, verb
            if verb not in WHOLE:
                # Partial indexes that hold next to nothing may be read whole.
                assert without_condition(scans) <= {"message_queue_odd", "message_queue_running"}
            assert touched(scans) <= _bound(verb, params), (verb, params)


@pytest.mark.parametrize("verb", ["requeue", "cancel", "run_now", "hold", "targets"])
def test_acting_touches_what_it_names(driver, verb):
    with driver._lane("act").connection() as conn:
        rows = conn.execute(
            "(SELECT message_queue_id FROM message_queue WHERE state = 'FAILED' LIMIT 30)"
            " UNION ALL (SELECT message_queue_id FROM message_queue WHERE state = 'READY' LIMIT 30)"
        ).fetchall()
        params = {
            "ids": [row[0] for row in rows] or [new_task_id() for _ in range(60)],
            "name": "N0",
            "signature": "ada@desk",
            "skip_newer": True,
        }
        for plans in ("force_custom_plan", "force_generic_plan"):
            conn.execute(f"SET plan_cache_mode = {plans}")
            scans = list(scans_of(explain(conn, driver, verb, params)))
            assert without_condition(scans) == set()
            # Twice for the row itself, and a probe or two for what is newer or due.
            assert touched(scans) <= 6 * len(rows) + 40


def _bound(verb, params):
    """Return how many rows of the queue a statement may touch."""
    names = len(params.get("names", ())) + 1
    if verb in WHOLE:
        return 100_000
    if "scan" in params:
        # Two indexes at most for each name, and one entry more to know that there is more.
        return 2 * names * (params["scan"] + 1)
    if "cap" in params:
        return 3 * names * (params["cap"] + 1)
    if verb == "list_rows":
        return len(params["ids"]) * 500
    if verb in ("find_tasks", "pick_tasks"):
        return 4 * names * (params["limit"] + 1) + len(params.get("ids", ()))
    return 100 * (NAMES + 1)
