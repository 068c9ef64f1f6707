"""What is wrong with the queue, told from one overview; for `esync status` and the console."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from esync.text import age

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esync.snapshot import NameRow, Overview, WorkerRow

FAILING_MINUTES = 5
"""Minutes over which the failing share is taken."""


class Severity(StrEnum):
    """How much a problem matters; the first is worst."""

    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From where on something is a problem."""

    oldest_warning: float = 5 * 60.0
    """Seconds that the longest waiting due task has been due."""
    oldest_critical: float = 15 * 60.0
    failing_warning: float = 0.05
    """Share of the attempts of the last five minutes that ended FAILED or RETRY."""
    failing_critical: float = 0.20
    failing_attempts: int = 20
    """With fewer attempts a share says nothing."""
    transaction_warning: float = 10 * 60.0
    """Seconds that a transaction has kept dead rows alive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that an operator should look at."""

    severity: Severity
    name: str | None
    """The task name it is about; None when it concerns more."""
    text: str
    """One line. It may hold text from elsewhere: show it through esync.text.visible_line."""


def find_problems(
    overview: Overview, *, thresholds: Thresholds | None = None
) -> tuple[Problem, ...]:
    """Return the problems that an overview shows, the critical ones first."""
    limits = thresholds or Thresholds()
    found = [problem for row in overview.names for problem in _of_name(row, limits)]
    found += [_of_worker(worker) for worker in overview.workers if not worker.has_lease]
    found += _of_unread(overview) if overview.is_partial else _of_transaction(overview, limits)
    found += _of_names(overview)
    return tuple(sorted(found, key=lambda problem: problem.severity is not Severity.CRITICAL))


def failing_share(row: NameRow, *, minutes: int = FAILING_MINUTES) -> tuple[float, int]:
    """Return which share of the attempts of the last minutes failed, and how many there were."""
    failed = sum(row.failed_attempts[-minutes:])
    attempts = failed + sum(row.done[-minutes:])
    return (failed / attempts if attempts else 0.0), attempts


def _of_name(row: NameRow, limits: Thresholds) -> Iterator[Problem]:
    if row.pause is not None:
        yield from _of_pause(row)
    elif row.oldest_seconds is not None:
        yield from _of_backlog(row, limits)
    yield from _of_failures(row, limits)


def _of_pause(row: NameRow) -> Iterator[Problem]:
    if row.pause is None or row.oldest_seconds is None:
        return
    because = f": {row.pause.reason}" if row.pause.reason else ""
    text = (
        f"{row.name}: paused by {row.pause.by} {age(row.pause.seconds)} ago{because};"
        f" oldest waits {age(row.oldest_seconds)}"
    )
    yield Problem(severity=Severity.WARNING, name=row.name, text=text)


def _of_backlog(row: NameRow, limits: Thresholds) -> Iterator[Problem]:
    """Tell the one thing that is worst about the tasks that wait: nobody takes them, or late."""
    oldest = row.oldest_seconds or 0.0
    if not row.is_known:
        text = f"{row.name}: no worker has ever registered it, its tasks will be cancelled"
        yield Problem(severity=Severity.WARNING, name=row.name, text=text)
    elif row.workers == 0:
        text = f"{row.name}: no live worker, oldest waits {age(oldest)}"
        yield Problem(severity=Severity.CRITICAL, name=row.name, text=text)
    elif oldest > limits.oldest_warning:
        is_critical = oldest > limits.oldest_critical
        text = f"{row.name}: oldest waits {age(oldest)}"
        yield Problem(severity=_severity(is_critical=is_critical), name=row.name, text=text)


def _of_failures(row: NameRow, limits: Thresholds) -> Iterator[Problem]:
    share, attempts = failing_share(row)
    if attempts < limits.failing_attempts or share < limits.failing_warning:
        return
    text = f"{row.name}: failing {share:.0%} ({FAILING_MINUTES}m)"
    is_critical = share >= limits.failing_critical
    yield Problem(severity=_severity(is_critical=is_critical), name=row.name, text=text)


def _of_worker(worker: WorkerRow) -> Problem:
    running = "" if worker.running is None else f"{worker.running} running"
    if worker.is_leaving:
        text = "leaving with " + running if running else "leaving"
    else:
        text = f"dead, unheard for {age(worker.heartbeat_seconds)}"
        text += f", {running}" if running else ""
    text = f"worker {worker.host}:{worker.pid}: {text}"
    return Problem(severity=Severity.WARNING, name=None, text=text)


def _of_transaction(overview: Overview, limits: Thresholds) -> Iterator[Problem]:
    seconds = overview.oldest_transaction_seconds
    if seconds is not None and seconds > limits.transaction_warning:
        text = f"a transaction is open for {age(seconds)}: dead rows pile up, the queue slows down"
        yield Problem(severity=Severity.WARNING, name=None, text=text)


def _of_unread(overview: Overview) -> Iterator[Problem]:
    """Tell that no counts are shown, and the transaction that is the likely cause, however old."""
    text = "counts took too long to be read"
    if (seconds := overview.oldest_transaction_seconds) is not None:
        text += f": a transaction is open for {age(seconds)}, dead rows pile up"
    yield Problem(severity=Severity.WARNING, name=None, text=text)


def _of_names(overview: Overview) -> Iterator[Problem]:
    if overview.has_more_names:
        text = f"only {len(overview.names):,} task names are shown, and there may be more"
        yield Problem(severity=Severity.WARNING, name=None, text=text)


def _severity(*, is_critical: bool) -> Severity:
    return Severity.CRITICAL if is_critical else Severity.WARNING
