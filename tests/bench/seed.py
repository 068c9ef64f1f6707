"""Rows written straight into the table, by the million, as a queue's life would have left them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from tests.bench.report import say

if TYPE_CHECKING:
    from esync.task import TaskState

_CHUNK = 500_000
_KEYS = 1_000_000

# The ids are time-ordered (UUID version 7), as those of producers are. Of finished rows one was
# written every 10 ms, the last one now; each key was asked for again after a million others.
_INSERT = """
INSERT INTO message_queue (
    message_queue_id, data, task_key, task_name, created_by, created_at, do_after, priority,
    state, attempts, last_attempted, last_attempt_message
)
SELECT
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(hash, 1, 3)
        || '8' || substr(hash, 4, 15))::uuid,
    '{}',
    %(prefix)s::text || i %% %(keys)s::int,
    'bench.' || i %% %(names)s::int,
    'bench',
    at,
    at + %(delay)s::float8 * interval '1 s',
    %(priority)s::int,
    %(state)s::text,
    CASE WHEN %(state)s::text = 'READY' THEN 0 ELSE 1 END,
    at,
    ''
FROM (
    SELECT i, md5(i::text) AS hash, now() - %(total)s::int * interval '10 ms'
        + i * interval '10 ms' AS at
    FROM generate_series(%(first)s::int, %(last)s::int) AS i
) AS row
"""


def seed(
    dsn: str,
    count: int,
    *,
    state: TaskState,
    prefix: str,
    names: int = 1,
    priority: int = 5,
    delay: float = 0.0,
) -> None:
    """Write so many rows, with keys that begin with the prefix, evenly over the names.

    No key of rows that are not finished occurs twice below a million of them. `delay` is
    counted in seconds from when the row was added.
    """
    params = {
        "prefix": prefix,
        "keys": _KEYS if state == "DONE" else count,
        "names": names,
        "priority": priority,
        "delay": delay,
        "state": state,
        "total": count,
    }
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SET synchronous_commit = off")
        for first in range(1, count + 1, _CHUNK):
            last = min(first + _CHUNK - 1, count)
            conn.execute(_INSERT, {**params, "first": first, "last": last})
            if last % (4 * _CHUNK) == 0:
                say(f"  {last:,} {state} rows are written")
