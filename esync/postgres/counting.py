"""How many tasks of each name wait and how many have FAILED: exactly while that is cheap."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from esync.snapshot import Count, Precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.rows import TupleRow

    from esync.postgres.reading import Reading

EXACT_SECONDS = 0.1
"""Exact counts that take longer give way to capped ones."""

_EXACT_LIMIT_SECONDS = 0.25
_CAP = 10_000
_CAP_ALL = 200_000
"""Index entries that capped counts may read, of all names together; about 20 ms."""


class NameCounts(NamedTuple):
    """How many tasks of a name wait and how many have FAILED."""

    ready: Count = Count(0)
    scheduled: Count = Count(0)
    retry: Count = Count(0)
    failed: Count = Count(0)


UNREAD = NameCounts(*[Count(0, Precision.UNREAD)] * 4)


def count(read: Reading, names: Sequence[str]) -> dict[str, NameCounts]:
    """Return the counts of the names that have any: exact while that is cheap."""
    rows = read.attempt(
        "overview_counts",
        lambda: read.rows("overview_counts"),
        seconds=_EXACT_LIMIT_SECONDS,
        slow_seconds=EXACT_SECONDS,
    )
    if rows is not None:
        return _exact(rows)
    cap = min(_CAP, max(100, _CAP_ALL // max(1, len(names))))
    rows = read.rows("overview_capped_counts", names=list(names), cap=cap + 1)
    return {row[0]: _capped(row, cap=cap) for row in rows}


def _exact(rows: Sequence[TupleRow]) -> dict[str, NameCounts]:
    sums: dict[str, Counter[int]] = {}
    for name, *values in rows:
        sums.setdefault(name, Counter()).update(dict(enumerate(values)))
    return {
        name: NameCounts(*(Count(total[place]) for place in range(4)))
        for name, total in sums.items()
    }


def _capped(row: TupleRow, *, cap: int) -> NameCounts:
    _, ready, scheduled, retry, failed, is_due_capped, is_later_capped, is_failed_capped = row
    return NameCounts(
        ready=_count(ready, cap=cap, is_capped=is_due_capped),
        scheduled=_count(scheduled, cap=cap, is_capped=is_later_capped),
        retry=_count(retry, cap=cap, is_capped=is_due_capped or is_later_capped),
        failed=_count(failed, cap=cap, is_capped=is_failed_capped),
    )


def _count(value: int, *, cap: int, is_capped: bool) -> Count:
    return Count(min(value, cap), Precision.CAPPED) if is_capped else Count(value)
