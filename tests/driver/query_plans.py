"""How statements are planned once they are prepared, and how many rows their plans touch."""

from __future__ import annotations

import re

import psycopg

from esync.postgres.statements import statement

TABLE = "message_queue"


def explain(conn, driver, verb, params, *, options="ANALYZE, "):
    """Return the plan of a statement, and what it did, planned as a prepared statement is."""
    prepare(conn, driver, verb)
    with conn.transaction(force_rollback=True):
        plan = explain_prepared(conn, driver, verb, params, options=options)
    conn.execute("DEALLOCATE ALL")
    return plan


def prepare(conn, driver, verb):
    text, names = _numbered(driver, verb)
    conn.execute("SET esync.has_locks = 'true'")  # as lock_briefly leaves word of it
    types = f"({', '.join(['unknown'] * len(names))})" if names else ""
    conn.execute(f"PREPARE looked_at {types} AS {text}")


def explain_prepared(conn, driver, verb, params, *, options="ANALYZE, "):
    _, names = _numbered(driver, verb)
    arguments = f"({', '.join(['%s'] * len(names))})" if names else ""
    cursor = psycopg.ClientCursor(conn)
    cursor.execute(
        f"EXPLAIN ({options}FORMAT JSON) EXECUTE looked_at {arguments}",
        [params[name] for name in names],
    )
    ((plans,),) = cursor.fetchall()
    return plans[0]["Plan"]


def _numbered(driver, verb):
    text = driver.names.compose(statement(verb))
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", text)))
    return re.sub(r"%\((\w+)\)s", lambda match: f"${names.index(match[1]) + 1}", text), names


def nodes_of(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes_of(child)


def scans_of(plan):
    """Yield the nodes that read the queue and did run."""
    for node in nodes_of(plan):
        is_scan = node.get("Relation Name") == TABLE and "Scan" in node["Node Type"]
        if is_scan or "Bitmap" in node["Node Type"]:
            yield node


def without_condition(scans):
    """Return the indexes that are read whole; a heap scan has its conditions in its index scan."""
    return {
        scan.get("Index Name", scan["Node Type"])
        for scan in scans
        if scan["Node Type"] not in ("Bitmap Heap Scan", "BitmapOr")
        and not scan.keys() & {"Index Cond", "TID Cond"}
    }


def touched(scans):
    return sum(
        (scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) * scan["Actual Loops"]
        for scan in scans
    )


def compared(plan):
    """Return how many pairs of rows the joins compared in vain, at the join that did it most."""
    removed = "Rows Removed by Join Filter"
    return max(node.get(removed, 0) * node["Actual Loops"] for node in nodes_of(plan))
