"""What an engine tells whoever watches it, such as a console."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from uuid import UUID

    from esync.engine.task import Task
    from esync.task import Finish, TaskState


class EventKind(StrEnum):
    """What happened."""

    STARTED = "started"
    ENDED = "ended"
    STUCK = "stuck"
    LEASE_LOST = "lease lost"
    OUTAGE = "outage"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEvent:
    """One event; the fields that do not apply are empty."""

    kind: EventKind
    name: str = ""
    key: str = ""
    task_id: UUID | None = None
    attempt: int = 0
    state: TaskState | None = None
    message: str = ""
    seconds: float | None = None

    @classmethod
    def of(
        cls,
        kind: EventKind,
        task: Task,
        *,
        finish: Finish | None = None,
        seconds: float | None = None,
    ) -> EngineEvent:
        """Return an event about an attempt."""
        return cls(
            kind=kind,
            name=task.name,
            key=task.key,
            task_id=task.id,
            attempt=task.attempt,
            state=finish.state if finish else None,
            message=finish.message if finish else "",
            seconds=seconds,
        )


class RunningAttempt(NamedTuple):
    """A handler or scheduled action that runs at this moment."""

    name: str
    key: str
    task_id: UUID | None
    """None for a scheduled action."""
    attempt: int
    seconds: float
    is_stuck: bool
    """Its timeout is over and its thread still runs."""


class RunnerState(NamedTuple):
    """What a worker holds for one task name."""

    name: str
    slots: int
    running: int
    stuck: int
    buffered: int
    """Claimed, not started."""
    in_flight: int
    """Claimed, outcome not recorded."""
    is_paused: bool
    average_seconds: float | None
