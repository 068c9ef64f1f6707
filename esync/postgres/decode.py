"""Rows as operators see them, decoded one by one: no value of one row may hide the others.

Times come as text, since PostgreSQL stores what Python cannot hold: infinity, years before 1 and
after 9999.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from esync.snapshot import AuditRow, LastMessage, TaskRow, WorkerRow
from esync.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.rows import TupleRow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(text: str | None) -> datetime | None:
    """Return a stored time, or None when there is none or Python cannot hold it."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def task_row(row: TupleRow) -> TaskRow:
    """Return a row of list_rows.sql."""
    (
        task_id,
        name,
        key,
        state,
        seq,
        priority,
        attempts,
        tries,
        crashes,
        created_at,
        created_by,
        do_after,
        last_attempted,
        message,
        worker,
        superseded_by,
        cancel_requested,
        has_newer,
    ) = row
    return TaskRow(
        task_id=task_id,
        name=name,
        key=key,
        state=state,
        seq=seq,
        priority=priority,
        attempts=attempts,
        tries=tries,
        crashes=crashes,
        created_at=moment(created_at),
        created_by=created_by,
        do_after=moment(do_after),
        last_attempted=moment(last_attempted),
        message=message,
        worker=worker,
        superseded_by=superseded_by,
        cancel_requested=cancel_requested,
        has_newer=has_newer,
    )


def worker_row(row: TupleRow, *, running: int | None) -> WorkerRow:
    """Return a row of list_workers.sql, with how many tasks run there if that is known."""
    worker_id, host, pid, names, _, slots, started, heartbeat, lease, leaving, text = row
    return WorkerRow(
        worker_id=worker_id,
        host=host,
        pid=pid,
        names=tuple(names),
        slots=slots,
        running=running,
        # A heartbeat may be younger than the snapshot's clock.
        started_seconds=max(0.0, started),
        heartbeat_seconds=max(0.0, heartbeat),
        lease_seconds=lease,
        is_leaving=leaving,
        version=text,
    )


def audit_row(row: TupleRow) -> AuditRow:
    """Return a row of list_audit.sql."""
    audit_id, at, who, host, via, verb, name, target, reason, matched, changed, skipped = row
    return AuditRow(
        audit_id=audit_id,
        at=moment(at) or _EPOCH,
        who=who,
        host=host,
        via=via,
        verb=verb,
        name=name,
        target=entry(target),
        reason=reason,
        matched=matched,
        changed=changed,
        skipped=skipped,
    )


def last_message(columns: Sequence[Any]) -> LastMessage | None:
    """Return state, key, message and seconds as one of the overview's last messages."""
    state, key, message, seconds = columns
    if state is None:
        return None
    return LastMessage(state=TaskState(state), key=key, message=message, seconds=seconds)


def entry(text: str) -> dict[str, Any]:
    """Return a JSON object; what is none, or cannot be read, is told as its message."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        return {"message": f"undecodable: {type(exc).__name__}"}
    return value if isinstance(value, dict) else {"message": text[:2000]}
