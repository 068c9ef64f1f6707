"""What operators do: guarded by state, attributed, audited under the same lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esync.memory.rows import PauseRecord, moment, signature
from esync.memory.store import StorePart
from esync.snapshot import FINISHED, PENDING, ActionResult, ActionVerb, AuditRow, Skip
from esync.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    from esync.memory.rows import Row
    from esync.snapshot import Attribution

_FIRST_SECONDS = 0.001
"""So much earlier than the first due task is one that is run now."""


class MemoryOperators(StorePart):
    """The acting half of the console side of the memory driver."""

    def requeue(
        self, ids: Sequence[UUID], *, by: Attribution, skip_newer: bool = False
    ) -> ActionResult:
        """Make FAILED, CANCELLED and DONE tasks READY and due now, with tries and crashes at 0."""

        def refusal(row: Row) -> str | None:
            if row.state not in FINISHED:
                return f"is {row.state}"
            if skip_newer and self._store.has_newer(row):
                return "has a newer request"
            return None

        def apply(row: Row) -> None:
            row.state = TaskState.READY
            row.do_after = self._store.now()
            row.tries = row.crashes = 0
            row.claimed_by = row.superseded_by = row.cancel_requested = None

        return self._act(ActionVerb.REQUEUE, ids, by=by, refusal=refusal, apply=apply)

    def cancel(self, ids: Sequence[UUID], *, by: Attribution) -> ActionResult:
        """Cancel READY and RETRY tasks; ask the handlers of those IN PROGRESS to stop."""

        def refusal(row: Row) -> str | None:
            return f"is {row.state}" if row.state in FINISHED else None

        def apply(row: Row) -> None:
            if row.state is TaskState.IN_PROGRESS:
                row.cancel_requested = signature(by)
                return
            row.state = TaskState.CANCELLED
            row.message = f"Cancelled by {signature(by)}"
            row.claimed_by = None

        return self._act(ActionVerb.CANCEL, ids, by=by, refusal=refusal, apply=apply)

    def run_now(self, ids: Sequence[UUID], *, by: Attribution) -> ActionResult:
        """Put READY and RETRY tasks before the oldest due one of their name."""

        def refusal(row: Row) -> str | None:
            return None if row.state in PENDING else f"is {row.state}"

        def apply(row: Row) -> None:
            row.priority, row.do_after = self._first_place(row)
            row.claimed_by = None

        return self._act(ActionVerb.RUN_NOW, ids, by=by, refusal=refusal, apply=apply)

    def pause(
        self, names: Sequence[str], *, by: Attribution, resume_after: float | None = None
    ) -> ActionResult:
        """Pause runners in the whole cluster, until resumed or for so many seconds."""
        store = self._store
        with store.lock:
            now = store.now()
            until = None if resume_after is None else now + resume_after
            for name in names:
                store.runners[name].pause = PauseRecord(by=by, at=now, until=until)
                store.notify(name)
            result = ActionResult(verb=ActionVerb.PAUSE, names=tuple(dict.fromkeys(names)))
            self._audit(result, by=by, names=result.names, resume_after=resume_after)
            return result

    def resume(self, names: Sequence[str], *, by: Attribution) -> ActionResult:
        """Resume paused runners; names that are not paused are skipped."""
        store = self._store
        with store.lock:
            asked = dict.fromkeys(names)
            resumed = [name for name in asked if store.is_paused(name, now=store.now())]
            for name in resumed:
                store.runners[name].pause = None
                store.notify(name)
            result = ActionResult(
                verb=ActionVerb.RESUME,
                names=tuple(resumed),
                skipped=tuple(
                    Skip(None, name, "is not paused") for name in asked if name not in resumed
                ),
            )
            self._audit(result, by=by, names=tuple(asked))
            return result

    def _act(
        self,
        verb: ActionVerb,
        ids: Sequence[UUID],
        *,
        by: Attribution,
        refusal: Callable[[Row], str | None],
        apply: Callable[[Row], None],
    ) -> ActionResult:
        """Change the tasks whose state allows it, say why the others were left, write it down."""
        store = self._store
        with store.lock:
            rows = {task_id: store.rows.get(task_id) for task_id in ids}
            reasons = {i: refusal(row) if row else "no such task" for i, row in rows.items()}
            accepted = [row for i, row in rows.items() if row and reasons[i] is None]
            result = ActionResult(
                verb=verb,
                changed=_ids(row for row in accepted if row.state is not TaskState.IN_PROGRESS),
                asked=_ids(row for row in accepted if row.state is TaskState.IN_PROGRESS),
                skipped=tuple(
                    Skip(i, row.key if row else "", reason)
                    for i, row in rows.items()
                    if (reason := reasons[i]) is not None
                ),
            )
            for row in accepted:
                with store.changing(row):
                    apply(row)
            names = tuple(dict.fromkeys(row.name for row in accepted))
            for name in names:
                store.notify(name)
            self._audit(result, by=by, names=names, ids=[str(task_id) for task_id in rows])
            return result

    def _first_place(self, row: Row) -> tuple[int, float]:
        """Return the priority and due time that put a row before every due one of its name."""
        now = self._store.now()
        due = [other for other in self._store.due(row.name, now=now) if other is not row]
        priority = min((other.priority for other in due), default=row.priority)
        oldest = min((other.do_after for other in due), default=now)
        return min(priority, row.priority), oldest - _FIRST_SECONDS

    def _audit(
        self, result: ActionResult, *, by: Attribution, names: tuple[str, ...], **target: Any
    ) -> None:
        done = len(result.changed) + len(result.asked) + len(result.names)
        audit = self._store.audit
        audit.append(
            AuditRow(
                audit_id=len(audit) + 1,
                at=moment(self._store.now()),
                who=by.who,
                host=by.host,
                via=by.via,
                verb=result.verb,
                name=names[0] if len(names) == 1 else "",
                target={"names": list(names), **target},
                reason=by.reason,
                matched=done + len(result.skipped),
                changed=done,
                skipped=len(result.skipped),
            )
        )


def _ids(rows: Iterable[Row]) -> tuple[UUID, ...]:
    return tuple(row.task_id for row in rows)
