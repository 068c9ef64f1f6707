"""The reading half of PostgresDriver's console side.

Everything is read in one read-only transaction per call, each statement within 750 ms, with an
index and a limit; no row is locked. Only for more of a task's data than a screen shows is there
more time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esync.errors import TaskValueError
from esync.postgres.decode import audit_row, entry, task_row
from esync.postgres.faults import translated
from esync.postgres.listing import KEY_LIMIT, Group, Terms, named_ids, pick, walk
from esync.postgres.migrate import require_schema
from esync.postgres.overview import read_overview, read_workers
from esync.postgres.reading import NAME_LIMIT, PostgresReader
from esync.postgres.statements import execute
from esync.snapshot import DETAIL_DATA_LIMIT, Count, Precision, TaskDetail, TaskPage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from esync.postgres.reading import Reading
    from esync.snapshot import AuditRow, Cursor, Filter, Overview, TaskRow, WorkerRow

HISTORY_LIMIT = 50
_COUNT_STRETCH = 50_000
"""Tasks that a count looks at when a term needs their rows."""
_COUNT_SECONDS = 0.75
_OTHER_NAMES = "names without a runner"
_LAST_NAMES = f"names after the first {NAME_LIMIT:,}"


class PostgresConsole(PostgresReader):
    """What operators see."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._known: frozenset[str] = frozenset()  # guarded by the lane that reads

    def check_schema(self) -> None:
        """Raise SchemaError unless the schema fits this library."""
        # On a connection of its own: a worker asks this once, and looks at nothing afterwards.
        with self._connect("look") as conn, translated():
            require_schema(conn, self.names)

    def get_overview(self, *, minutes: int = 30) -> Overview:
        """Return the queue at this moment, with counts for so many minutes.

        Counts are exact while they cost less than 100 ms, capped beyond that, and tried exactly
        again after a minute or more. So is the whole overview when it takes more than 750 ms, as
        among a million dead rows that an old transaction keeps: until then it is partial.
        """
        with self._reading() as read:
            overview = read_overview(read, minutes=minutes, known=self._known)
            if not overview.is_partial:
                self._known = frozenset(row.name for row in overview.names)
            return overview

    def list_tasks(self, where: Filter, *, limit: int, after: Cursor | None = None) -> TaskPage:
        """Return a page of matching tasks: running, then pending in run order, then finished.

        Running ones are listed by their start and finished ones by their end, newest first. What
        no index serves is looked for during a third of a second; a page that ends early then
        holds fewer tasks, perhaps none, and the next one goes on. Of a key, the newest 5,000
        requests are looked at. What dead rows keep from being reached in time is told as unread.
        """
        with self._reading() as read:
            names, are_all = read.quick_names(where.names, known=self._known)
            terms = Terms(where=where, names=names)
            if terms.is_named:
                found = pick(read, terms, named_ids(read, terms), limit=limit, after=after)
            else:
                found = walk(read, terms, limit=limit, after=after)
            others = _LAST_NAMES if len(names) >= NAME_LIMIT else _OTHER_NAMES
            unread = found.unread if are_all else (*found.unread, others)
            return TaskPage(rows=_task_rows(read, found.ids), next=found.next, unread=unread)

    def count_tasks(self, where: Filter, *, cap: int = 10_000) -> Count:
        """Return how many tasks match, counting no further than the cap.

        With terms that need the rows (an error text, a key prefix) 50,000 tasks are looked at;
        when there are more the count is a capped one, and may be small. When time runs out it is
        unread.
        """
        with self._reading() as read:
            names, are_all = read.quick_names(where.names, known=self._known)
            terms = Terms(where=where, names=names)
            count = _count_named if terms.is_named else _count_matching
            counted = read.within(_COUNT_SECONDS, lambda: count(read, terms, cap=cap))
            if counted is None:
                return Count(0, Precision.UNREAD)
            return counted if are_all else Count(counted.value, Precision.CAPPED)

    def find_tasks(
        self, key: str, *, name: str | None = None, limit: int = 50
    ) -> tuple[TaskRow, ...]:
        """Return the requests of a key in every state, newest first.

        Raises TaskValueError when there are too many names to look through all of them.
        """
        with self._reading() as read:
            names = read.task_names(() if name is None else (name,))
            if len(names) >= NAME_LIMIT:
                raise TaskValueError(
                    f"the key {key!r} may be of any of {NAME_LIMIT:,} or more task names;"
                    " say which (--name)"
                )
            return _task_rows(read, _find(read, key, names=names, limit=limit))

    def get_task(
        self, task_id: UUID, *, data_limit: int | None = DETAIL_DATA_LIMIT
    ) -> TaskDetail | None:
        """Return everything about one task, with so many characters of its data; None = all."""
        few = DETAIL_DATA_LIMIT if data_limit is None else min(data_limit, DETAIL_DATA_LIMIT)
        with self._reading() as read:
            rows = read.rows("get_task", id=task_id, data_limit=few)
            if not rows:
                return None
            ((name, key, message, raw_data, data_length, errors),) = rows
            history = _find(read, key, names=[name], limit=HISTORY_LIMIT)
            if task_id not in history:
                history = [*history[: HISTORY_LIMIT - 1], task_id]
            shown = _task_rows(read, history)
        if few < data_length and few != data_limit:
            raw_data = self._long_data(task_id, data_limit) or raw_data
        return TaskDetail(
            row=next(row for row in shown if row.task_id == task_id),
            message=message,
            raw_data=raw_data,
            data_length=data_length,
            errors=tuple(entry(text) for text in reversed(errors)),
            history=shown,
        )

    def list_workers(self) -> tuple[WorkerRow, ...]:
        """Return the workers, dead ones that were not rescued yet included."""
        with self._reading() as read:
            return read_workers(read)

    def list_audit(self, *, limit: int = 100) -> tuple[AuditRow, ...]:
        """Return what operators did, newest first."""
        with self._reading() as read:
            return tuple(audit_row(row) for row in read.rows("list_audit", limit=limit))

    def _long_data(self, task_id: UUID, data_limit: int | None) -> str | None:
        """Read data that takes longer to send than a poll may take; None if its task is gone."""
        with self._transaction("act") as conn:
            params = {"id": task_id, "data_limit": data_limit}
            row = execute(conn, self.names, "get_task", params).fetchone()
        if row is None:
            return None
        _name, _key, _message, raw_data, *_rest = row
        return str(raw_data)


def _find(read: Reading, key: str, *, names: Sequence[str], limit: int) -> list[UUID]:
    rows = read.rows("find_tasks", key=key, names=list(names), limit=limit)
    return [task_id for (task_id,) in rows]


def _task_rows(read: Reading, ids: Sequence[UUID]) -> tuple[TaskRow, ...]:
    """Return the rows of some tasks in the order of their ids."""
    if not ids:
        return ()
    rows = {row[0]: task_row(row) for row in read.rows("list_rows", ids=list(ids))}
    return tuple(rows[task_id] for task_id in ids if task_id in rows)


def _count_named(read: Reading, terms: Terms, *, cap: int) -> Count:
    named = named_ids(read, terms)
    is_cut = not terms.where.ids and len(named) >= KEY_LIMIT
    found = pick(read, terms, named, limit=cap)
    return _count(len(found.ids), cap=cap, has_more=is_cut or found.next is not None)


def _count_matching(read: Reading, terms: Terms, *, cap: int) -> Count:
    groups = terms.groups
    scan = _COUNT_STRETCH if terms.has_text or terms.since is not None else cap + 1
    ((matching, scanned),) = read.rows(
        "count_tasks",
        **terms.filters,
        **terms.pending_indexes,
        **terms.finished_indexes,
        running=groups[Group.RUNNING],
        odd=groups[Group.ODD],
        scan=scan,
    )
    return _count(matching, cap=cap, has_more=matching > cap or scanned >= scan)


def _count(value: int, *, cap: int, has_more: bool) -> Count:
    return Count(min(value, cap), Precision.CAPPED if has_more else Precision.EXACT)
