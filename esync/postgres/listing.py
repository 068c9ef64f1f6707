"""How a list is read: group by group, each from its own index, from where the last page ended.

A term that no index serves (an error text, a key prefix, a rare state among many) is looked for
in stretches of the index that grow, for a third of a second: then the page ends early, and the
next one goes on from there. So every statement is bounded and nothing is ever left out, unless it
is said: an old snapshot may keep so many dead rows before the living that what runs or waits is
not reached in time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from esync.snapshot import Cursor
from esync.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esync.postgres.reading import Reading
    from esync.snapshot import Filter

KEY_LIMIT = 5000
"""Requests of one key that a list looks at, the newest."""

_PATIENCE_SECONDS = 0.33
_STRETCH_SECONDS = 0.25
"""A stretch of the running or the pending tasks may take so long."""

_SINCE_LIMIT = 1e10
"""Seconds: three centuries, further back than PostgreSQL's intervals need to reach."""

_FIRST_ID = UUID(int=0)
_LAST_ID = UUID(int=2**128 - 1)
_FINISHED = (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED)
_PENDING = (TaskState.READY, TaskState.RETRY)


class Group(IntEnum):
    """The parts of a list, in their order; the first number of a cursor."""

    RUNNING = 0
    PENDING = 1
    FINISHED = 2
    ODD = 3
    """States of a legacy table that are none of the six."""


_CHURNED = {Group.RUNNING: "IN PROGRESS", Group.PENDING: "READY, RETRY"}
"""Parts that tasks leave, so that dead rows may stand before the others; and people's words."""


class Found(NamedTuple):
    """A page of ids."""

    ids: list[UUID]
    next: Cursor | None
    """Where the next page starts; None at the end."""
    unread: tuple[str, ...] = ()
    """Parts that there was no time to look at."""


class Entry(NamedTuple):
    """A task of a list, or the place where a stretch of an index ended (then without an id)."""

    task_id: UUID | None
    is_last: bool
    """The stretch was read up to here, and there is more behind it."""
    cursor: Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A filter, as the parameters and choices of the statements."""

    where: Filter
    names: Sequence[str]

    @property
    def states(self) -> frozenset[TaskState]:
        """The states that are wanted."""
        return frozenset(self.where.states or TaskState)

    @property
    def groups(self) -> dict[Group, bool]:
        """Which parts of a list are wanted."""
        return {
            Group.RUNNING: TaskState.IN_PROGRESS in self.states,
            Group.PENDING: not self.states.isdisjoint(_PENDING),
            Group.FINISHED: not self.states.isdisjoint(_FINISHED),
            Group.ODD: not self.where.states,
        }

    @property
    def is_named(self) -> bool:
        """Whether the tasks are named by their ids or their key."""
        return bool(self.where.ids) or self.where.key is not None

    @property
    def has_text(self) -> bool:
        """Whether rows must be read to decide."""
        return self.where.key_prefix is not None or self.where.error is not None

    @property
    def since(self) -> float | None:
        """Seconds; bounded, so that no interval overflows."""
        since = self.where.since
        return None if since is None else min(since, _SINCE_LIMIT)

    @property
    def filters(self) -> dict[str, object]:
        """The parameters that every statement of a list takes."""
        return {
            "names": list(self.names),
            "states": sorted(self.states),
            "key_prefix": self.where.key_prefix,
            "error": self.where.error,
            "since": self.since,
        }

    @property
    def pending_indexes(self) -> dict[str, bool]:
        """Which index holds the pending tasks that are wanted."""
        is_due = TaskState.READY in self.states
        return {"due": is_due, "retry": TaskState.RETRY in self.states and not is_due}

    @property
    def finished_indexes(self) -> dict[str, bool]:
        """Which indexes hold the finished tasks that are wanted: none twice, no larger one."""
        is_done = TaskState.DONE in self.states
        is_cancelled = TaskState.CANCELLED in self.states
        return {
            "finished": is_done,
            "failed": TaskState.FAILED in self.states and not is_done,
            "cancelled": is_cancelled and not is_done,
            "superseded": is_cancelled,
        }

    @property
    def stretch_limit(self) -> int:
        """Entries of an index that one statement may look at for each name."""
        share = 50_000 // max(1, len(self.names))
        if self.has_text or self.where.since is not None:
            return min(max(1000, share), 10_000)
        return max(1000, 4 * share)


def walk(read: Reading, terms: Terms, *, limit: int, after: Cursor | None) -> Found:
    """Return the ids of a page in the order of the list, and where the next page starts."""
    found: list[Entry] = []
    unread: list[str] = []
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for group in (group for group, is_wanted in terms.groups.items() if is_wanted):
        if after is not None and group < after.group:
            continue
        start = after if after is not None and group == after.group else None
        page = _Page(limit=limit, room=limit + 1 - len(found), deadline=deadline)
        part = _walk_group(read, terms, group, after=start, page=page)
        found += part.entries
        unread += [_CHURNED[group]] if part.is_unread else []
        if len(found) > limit:
            following = found[limit - 1].cursor if limit else None
            return Found(_ids(found[:limit]), following, tuple(unread))
        if part.stopped_at is not None:
            return Found(_ids(found), part.stopped_at, tuple(unread))
    return Found(_ids(found), None, tuple(unread))


def named_ids(read: Reading, terms: Terms) -> list[UUID]:
    """Return the tasks that a filter names by their ids or their key; of a key, the newest."""
    if terms.where.ids:
        return list(terms.where.ids)
    rows = read.rows("find_tasks", key=terms.where.key, names=list(terms.names), limit=KEY_LIMIT)
    return [task_id for (task_id,) in rows]


def pick(
    read: Reading, terms: Terms, ids: Sequence[UUID], *, limit: int, after: Cursor | None = None
) -> Found:
    """Return a page of those of some tasks that match, and where the next page starts."""
    place, position = after or (-1, ("0", "0", "0", str(_FIRST_ID)))
    rows = read.rows(
        "pick_tasks",
        **terms.filters,
        ids=list(ids),
        key=terms.where.key,
        odd=terms.groups[Group.ODD],
        place=place,
        **dict(zip(("priority", "moment", "seq", "id"), position, strict=True)),
        limit=limit + 1,
    )
    picked = [row[0] for row in rows[:limit]]
    if len(rows) <= limit or not picked:
        return Found(picked, None)
    return Found(picked, Cursor(rows[limit - 1][1], tuple(rows[limit - 1][2:])))


class _Page(NamedTuple):
    limit: int
    room: int
    """One more than still fit, to know whether there are more."""
    deadline: float


class _Part(NamedTuple):
    """The tasks of a group that were found for a page."""

    entries: list[Entry]
    stopped_at: Cursor | None = None
    """Time was over here, and there may be more behind it."""
    is_unread: bool = False


def _walk_group(
    read: Reading, terms: Terms, group: Group, *, after: Cursor | None, page: _Page
) -> _Part:
    """Return the next tasks of a group, as many as there is room for."""
    found: list[Entry] = []
    here, stretch = after, page.limit + 1
    while True:
        room = page.room - len(found)
        entries = _try(read, terms, group, after=here, stretch=stretch, limit=room)
        if entries is None:
            return _Part(found, is_unread=True) if here == after else _Part(found, stopped_at=here)
        found += [entry for entry in entries if entry.task_id is not None]
        if len(found) >= page.room or not entries or not entries[-1].is_last:
            return _Part(found)
        here = entries[-1].cursor
        if time.monotonic() > page.deadline:
            return _Part(found, stopped_at=here)
        stretch = max(page.limit + 1, min(4 * stretch, terms.stretch_limit))


def _try(
    read: Reading, terms: Terms, group: Group, *, after: Cursor | None, stretch: int, limit: int
) -> list[Entry] | None:
    """Return the next entries of a group, or None when dead rows stand before them."""
    advance = partial(_read, read, terms, group, after=after, stretch=stretch, limit=limit)
    if group not in _CHURNED:
        return advance()
    return read.attempt((group, terms.where, after, stretch), advance, seconds=_STRETCH_SECONDS)


def _read(
    read: Reading, terms: Terms, group: Group, *, after: Cursor | None, stretch: int, limit: int
) -> list[Entry]:
    """Return the next entries of a group, in order."""
    position = None if after is None else after.position
    common = {**terms.filters, "limit": limit}
    if group is Group.PENDING:
        start = dict(
            zip(("priority", "do_after", "seq"), position or ("-1", "-infinity", "0"), strict=True)
        )
        rows = read.rows("list_pending", **common, **terms.pending_indexes, **start, scan=stretch)
    elif group is Group.ODD:
        rows = read.rows("list_odd", **common, id=(position or (str(_FIRST_ID),))[0])
    else:
        at, last_id = position or ("infinity", str(_LAST_ID))
        if group is Group.RUNNING:
            rows = read.rows("list_running", **common, at=at, id=last_id)
        else:
            indexes = terms.finished_indexes
            rows = read.rows("list_finished", **common, **indexes, at=at, id=last_id, scan=stretch)
    return [Entry(row[0], row[1], Cursor(group, tuple(row[2:]))) for row in rows]


def _ids(entries: Sequence[Entry]) -> list[UUID]:
    return [entry.task_id for entry in entries if entry.task_id is not None]
