"""The acting half of PostgresDriver's console side: guarded by state, attributed, audited."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from esync.errors import DriverUnavailableError
from esync.postgres.faults import LOCK_TIMEOUT
from esync.postgres.retry import again
from esync.postgres.store import Store
from esync.snapshot import FINISHED, ActionResult, ActionVerb, Skip
from esync.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from psycopg.rows import TupleRow

    from esync.postgres.link import Connection
    from esync.snapshot import Attribution

BATCH = 500
"""Tasks per transaction, so that no action keeps a runner's lock for long."""

_EVERYBODY = "*"
_KEY_SAMPLE = 10
_NO_TASK = "no such task"


@dataclass(slots=True)
class _Tally:
    """What was done so far."""

    changed: list[UUID] = field(default_factory=list)
    asked: list[UUID] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)

    def add(self, other: _Tally) -> None:
        self.changed += other.changed
        self.asked += other.asked
        self.skipped += other.skipped


class PostgresActions(Store):
    """What operators do.

    Every change holds the runner's lock, so that no pop of its name runs meanwhile, and writes
    its audit in the same transaction. Runners are woken when it commits.
    """

    def requeue(
        self, ids: Sequence[UUID], *, by: Attribution, skip_newer: bool = False
    ) -> ActionResult:
        """Make FAILED, CANCELLED and DONE tasks READY and due now, with tries and crashes at 0."""
        return self._act(ActionVerb.REQUEUE, ids, by=by, skip_newer=skip_newer)

    def cancel(self, ids: Sequence[UUID], *, by: Attribution) -> ActionResult:
        """Cancel READY and RETRY tasks; ask the handlers of those IN PROGRESS to stop."""
        return self._act(ActionVerb.CANCEL, ids, by=by)

    def run_now(self, ids: Sequence[UUID], *, by: Attribution) -> ActionResult:
        """Put READY and RETRY tasks before the oldest due one of their name.

        They take the first priority that anything due has, in the order of the ids. Only what is
        due since before the year 1, '-infinity' included, stays in front of them.
        """
        return self._act(ActionVerb.RUN_NOW, ids, by=by)

    def pause(
        self, names: Sequence[str], *, by: Attribution, resume_after: float | None = None
    ) -> ActionResult:
        """Pause runners in the whole cluster, until resumed or for so many seconds.

        All of them or none. Once this returns, nothing more of them is popped. A later pause
        replaces an earlier one; a name that nobody knows yet is paused as well.
        """
        names = list(dict.fromkeys(names))
        again(partial(self._pause, names, by=by, resume_after=resume_after))
        return ActionResult(verb=ActionVerb.PAUSE, names=tuple(names))

    def resume(self, names: Sequence[str], *, by: Attribution) -> ActionResult:
        """Resume paused runners, all of them or none; names that are not paused are skipped."""
        names = list(dict.fromkeys(names))
        resumed = again(partial(self._resume, names, by=by))
        return ActionResult(
            verb=ActionVerb.RESUME,
            names=tuple(name for name in names if name in resumed),
            skipped=tuple(
                Skip(None, name, "is not paused") for name in names if name not in resumed
            ),
        )

    def _act(
        self, verb: ActionVerb, ids: Sequence[UUID], *, by: Attribution, **params: Any
    ) -> ActionResult:
        """Change tasks name by name, at most 500 in one transaction.

        A batch that meets an unreachable database, after others were committed, is told as
        skipped: an error would hide what was done.
        """
        ids = list(dict.fromkeys(ids))
        tally = _Tally()
        targets = self._targets(ids)
        for name, batch in _batches(targets):
            try:
                tally.add(again(partial(self._act_once, verb, name, batch, by=by, params=params)))
            except DriverUnavailableError as exc:
                if not (tally.changed or tally.asked):
                    raise
                outcome = "outcome unknown" if exc.is_ambiguous else "not tried"
                reason = f"{outcome}: {exc}"
                tally.skipped += [Skip(task_id, "", reason) for task_id in batch]
        there = {task_id for batch in targets.values() for task_id in batch}
        tally.skipped += [Skip(task_id, "", _NO_TASK) for task_id in ids if task_id not in there]
        return ActionResult(
            verb=verb,
            changed=tuple(tally.changed),
            asked=tuple(tally.asked),
            skipped=tuple(tally.skipped),
        )

    def _targets(self, ids: Sequence[UUID]) -> dict[str, list[UUID]]:
        """Return the tasks that are there, by name, in the order in which they were named."""
        names: dict[UUID, str] = dict(self._rows("act", "targets", {"ids": list(ids)}))
        targets: dict[str, list[UUID]] = defaultdict(list)
        for task_id in ids:
            if task_id in names:
                targets[names[task_id]].append(task_id)
        return targets

    def _act_once(
        self,
        verb: ActionVerb,
        name: str,
        ids: Sequence[UUID],
        *,
        by: Attribution,
        params: dict[str, Any],
    ) -> _Tally:
        """Change tasks of one name in one transaction, which holds the runner and the rows."""
        with self._holding([name]) as conn:
            arguments = {"name": name, "ids": list(ids)}
            self._execute(conn, "hold", arguments)
            arguments |= {"signature": _signature(by), **params}
            rows = self._execute(conn, verb.replace("-", "_"), arguments).fetchall()
            tally = _tally(rows, ids)
            if rows:
                self._audit(
                    conn,
                    verb,
                    name,
                    by=by,
                    target=_target(rows, tally),
                    changed=len(tally.changed) + len(tally.asked),
                    skipped=len(tally.skipped),
                )
            if tally.changed or tally.asked:
                self._tell(conn, _EVERYBODY if tally.asked else name)
        return tally

    def _pause(self, names: Sequence[str], *, by: Attribution, resume_after: float | None) -> None:
        with self._holding(names) as conn:
            for name in sorted(names):
                params = {
                    "name": name,
                    "by": f"{by.who}@{by.host}",
                    "reason": by.reason,
                    "resume_after": resume_after,
                }
                self._execute(conn, "pause", params)
                target = {} if resume_after is None else {"resume_after": resume_after}
                self._audit(conn, ActionVerb.PAUSE, name, by=by, target=target, changed=1)
            self._tell(conn, _EVERYBODY)

    def _resume(self, names: Sequence[str], *, by: Attribution) -> set[str]:
        resumed = set()
        with self._holding(names) as conn:
            for name in sorted(names):
                row = self._execute(conn, "resume", {"name": name}).fetchone()
                if row is None:
                    continue
                changed = int(row[0])
                if changed:
                    resumed.add(name)
                self._audit(
                    conn, ActionVerb.RESUME, name, by=by, changed=changed, skipped=1 - changed
                )
            if resumed:
                self._tell(conn, _EVERYBODY)
        return resumed

    @contextmanager
    def _holding(self, names: Sequence[str]) -> Iterator[Connection]:
        """Open a transaction that holds runners; no pop of theirs runs until it ends.

        In the order of their names, so that two operators cannot wait for each other.
        """
        try:
            with self._transaction("act") as conn:
                for name in sorted(names):
                    lock = self.names.lock("runner", name)
                    self._execute(conn, "lock", {"lock": lock})
                yield conn
        except DriverUnavailableError as exc:
            if getattr(exc.__cause__, "sqlstate", None) == LOCK_TIMEOUT:
                listed = ", ".join(repr(name) for name in names)
                msg = f"runner {listed}: held by another session for over 5 seconds; try again"
                raise DriverUnavailableError(msg) from exc.__cause__
            raise

    def _audit(
        self,
        conn: Connection,
        verb: ActionVerb,
        name: str,
        *,
        by: Attribution,
        target: dict[str, Any] | None = None,
        changed: int = 0,
        skipped: int = 0,
    ) -> None:
        params = {
            "who": by.who,
            "host": by.host,
            "via": by.via,
            "verb": verb.value,
            "name": name,
            "target": json.dumps(target or {}),
            "reason": by.reason,
            "matched": changed + skipped,
            "changed": changed,
            "skipped": skipped,
        }
        self._execute(conn, "audit", params)

    def _tell(self, conn: Connection, payload: str) -> None:
        self._execute(conn, "tell", {"channel": self.names.channel, "payload": payload})


def _batches(targets: dict[str, list[UUID]]) -> Iterator[tuple[str, list[UUID]]]:
    for name in sorted(targets):
        for start in range(0, len(targets[name]), BATCH):
            yield name, targets[name][start : start + BATCH]


def _tally(rows: Sequence[TupleRow], ids: Sequence[UUID]) -> _Tally:
    """Return what a statement did with each of some tasks, and why it left the others."""
    tally = _Tally()
    for task_id, key, state, newer_state, is_changed in rows:
        if not is_changed:
            tally.skipped.append(Skip(task_id, key, _reason(state, newer_state)))
        elif state == TaskState.IN_PROGRESS:
            tally.asked.append(task_id)
        else:
            tally.changed.append(task_id)
    there = {row[0] for row in rows}
    tally.skipped += [Skip(task_id, "", _NO_TASK) for task_id in ids if task_id not in there]
    return tally


def _reason(state: str, newer_state: str | None) -> str:
    if newer_state is not None and state in FINISHED:
        return f"a newer request is {newer_state}"
    return f"is {state}"


def _target(rows: Sequence[TupleRow], tally: _Tally) -> dict[str, Any]:
    """Return what the audit tells about the tasks of an action."""
    target: dict[str, Any] = {
        "ids": [str(row[0]) for row in rows],
        "keys": [row[1] for row in rows[:_KEY_SAMPLE]],
    }
    if tally.skipped:
        target["skipped"] = dict(Counter(skip.reason for skip in tally.skipped))
    return target


def _signature(by: Attribution) -> str:
    """Return who acts, from where and why, in one line."""
    return f"{by.who}@{by.host}: {by.reason}" if by.reason else f"{by.who}@{by.host}"
