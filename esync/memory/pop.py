"""One pop: decide on the keys in run order, then claim and supersede."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esync.driver import Popped
from esync.memory.rows import moment
from esync.task import Claim, TaskState

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from esync.memory.rows import Row
    from esync.memory.store import Store


class Pop:
    """The state of one pop; made, run once and thrown away under the store's lock."""

    def __init__(
        self,
        store: Store,
        *,
        name: str,
        worker_id: UUID,
        wanted: int,
        room: int,
        skip_keys: Collection[str],
        suspects: bool,
    ) -> None:
        self._store = store
        self._now = store.now()
        self._name = name
        self._worker_id = worker_id
        self._wanted = wanted
        self._room = min(wanted, room)
        self._suspects_wanted = suspects
        self._seen = set(skip_keys)
        self._chosen: list[Row] = []
        self._superseded: list[tuple[Row, Row]] = []
        self._blocked: list[str] = []
        self._suspects = 0
        self._has_unseen = False
        self._has_passed_over = False

    def run(self) -> Popped:
        """Claim and supersede; return what was done."""
        self._decide()
        for older, newer in self._superseded:
            self._supersede(older, newer)
        return Popped(
            claims=tuple(self._claim(row) for row in self._chosen),
            superseded=len(self._superseded),
            blocked=tuple(self._blocked),
            is_exhausted=not (self._has_unseen or self._has_passed_over),
            suspects=self._suspects,
            is_limited=self._has_unseen and self._room < self._wanted,
        )

    def _decide(self) -> None:
        # The first due row of a key in run order gives the key its place.
        for row in self._store.due(self._name, now=self._now):
            if row.key in self._seen:
                continue
            if len(self._chosen) >= self._room:
                self._has_unseen = True
                return
            self._seen.add(row.key)
            self._decide_key(row.key)

    def _decide_key(self, key: str) -> None:
        pending = self._store.pending(self._name, key)
        newest = max((row for row in pending if row.do_after <= self._now), key=_seq)
        if key in self._store.running[self._name]:
            self._blocked.append(key)
        elif (newest.crashes > 0) == self._suspects_wanted:
            self._chosen.append(newest)
        elif self._suspects_wanted:
            self._has_passed_over = True
            return
        else:
            self._suspects += 1
            return
        # A key that is left unchosen keeps its older requests: they are its place in the order.
        self._superseded += [(row, newest) for row in pending if self._is_hidden(row, newest)]

    def _is_hidden(self, row: Row, newest: Row) -> bool:
        """Whether the newest due request makes this one superfluous.

        A RETRY is, however far off its next attempt was: its content is older all the same. A
        request that asked for a later time of its own is not.
        """
        is_due = row.do_after <= self._now
        return row.seq < newest.seq and (is_due or row.state is TaskState.RETRY)

    def _supersede(self, older: Row, newer: Row) -> None:
        with self._store.changing(older):
            older.state = TaskState.CANCELLED
            older.superseded_by = newer.task_id
            older.message = f"Superseded by {newer.task_id}"

    def _claim(self, row: Row) -> Claim:
        with self._store.changing(row):
            row.state = TaskState.IN_PROGRESS
            row.attempts += 1
            row.claimed_by = self._worker_id
            row.last_attempted = self._now
        return Claim(
            task_id=row.task_id,
            key=row.key,
            attempt=row.attempts,
            tries=row.tries,
            crashes=row.crashes,
            raw_data=row.raw_data,
            created_at=moment(row.created_at).isoformat(),
            created_by=row.created_by,
        )


def _seq(row: Row) -> int:
    return row.seq
