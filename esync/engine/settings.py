"""The settings of a worker and of its handlers, checked where they are given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from esync.backoff import INTERVAL_LIMIT, Backoff
from esync.errors import SettingError

CONCURRENCY_LIMIT = 1000
_LIMIT_LIMIT = 1_000_000
_ATTEMPTS_LIMIT = 1_000_000
_BEATS_IN_LEASE = 6
_LEAST_BEATS_IN_LEASE = 3
_LEASE_LIMIT = 86400.0
_SHORTEST = 0.001


class OnTimeout(StrEnum):
    """What happens to the key when a handler in a thread exceeds its timeout."""

    HOLD = "hold"
    """The key stays held until the stuck thread ends."""
    RELEASE = "release"
    """The key is let go at once; what the stuck thread returns later is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How a worker keeps its lease, looks for work and stops. All times are seconds."""

    lease: float = 30.0
    """How long the worker may go unheard before its tasks are rescued. At least 3 heartbeats."""
    heartbeat: float | None = None
    """Between two heartbeats, and between two rescues; None = a sixth of the lease."""
    poll: float = 1.0
    """Between two looks at all names."""
    grace: float = 30.0
    """How long running handlers may go on once the worker is asked to stop."""
    max_crashes: int = 3
    """A task that was running when so many workers died is FAILED."""
    unhandled_grace: float = 30.0
    """How long a due task of a name that no worker has ever registered waits for one."""
    forget_after: float = 7 * 86400.0
    """How long a name that was registered once is waited for."""

    def __post_init__(self) -> None:
        _check_seconds("lease", self.lease, least=_SHORTEST, most=_LEASE_LIMIT)
        _check_seconds("heartbeat", self.beat_interval, least=_SHORTEST, most=_LEASE_LIMIT)
        if self.lease < _LEAST_BEATS_IN_LEASE * self.beat_interval:
            raise SettingError(
                f"lease must be at least {_LEAST_BEATS_IN_LEASE} heartbeats,"
                f" got {self.lease:g} s with a heartbeat of {self.beat_interval:g} s"
            )
        _check_seconds("poll", self.poll, least=_SHORTEST, most=3600.0)
        _check_seconds("grace", self.grace, least=0.0, most=_LEASE_LIMIT)
        _check_count("max_crashes", self.max_crashes, most=1000)
        _check_seconds("unhandled_grace", self.unhandled_grace, least=0.0, most=INTERVAL_LIMIT)
        _check_seconds("forget_after", self.forget_after, least=0.0, most=10 * INTERVAL_LIMIT)

    @property
    def beat_interval(self) -> float:
        """Seconds between two heartbeats."""
        return self.lease / _BEATS_IN_LEASE if self.heartbeat is None else self.heartbeat


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerSettings:
    """How the tasks of one name are performed."""

    backoff: Backoff
    timeout: float | None = None
    """Seconds that an attempt may take; None = any time."""
    concurrency: int = 4
    """Handlers of this name that run at once in this worker, 1 to 1000."""
    limit: int | None = None
    """At most so many IN PROGRESS in the whole cluster."""
    stream: str | None = None
    """Never at the same time as another runner or scheduled action of this stream."""
    max_attempts: int | None = None
    """Failures after which a task is FAILED; None = retried without end."""
    on_timeout: OnTimeout = OnTimeout.HOLD
    max_stuck: int | None = None
    """With more stuck threads than this the runner stops popping; None = concurrency."""

    def __post_init__(self) -> None:
        if self.timeout is not None:
            _check_seconds("timeout", self.timeout, least=_SHORTEST, most=INTERVAL_LIMIT)
        _check_count("concurrency", self.concurrency, most=CONCURRENCY_LIMIT)
        if self.limit is not None:
            _check_count("limit", self.limit, most=_LIMIT_LIMIT)
        if self.max_attempts is not None:
            _check_count("max_attempts", self.max_attempts, most=_ATTEMPTS_LIMIT)
        if self.max_stuck is not None:
            _check_count("max_stuck", self.max_stuck, least=0, most=CONCURRENCY_LIMIT)

    @property
    def stuck_limit(self) -> int:
        """Stuck threads with which the runner still pops."""
        return self.concurrency if self.max_stuck is None else self.max_stuck


def to_seconds(name: str, value: timedelta | float) -> float:
    """Return a duration as seconds, or raise SettingError."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingError(f"{name} must be seconds or a timedelta, got {type(value).__name__}")
    return float(value)


def to_on_timeout(value: str) -> OnTimeout:
    """Return what is to happen to the key, or raise SettingError."""
    try:
        return OnTimeout(value)
    except ValueError:
        raise SettingError(f"on_timeout must be 'hold' or 'release', got {value!r}") from None


def check_interval(name: str, value: timedelta | float) -> float:
    """Return the seconds between two runs of a scheduled action, or raise SettingError."""
    seconds = to_seconds(name, value)
    _check_seconds(name, seconds, least=_SHORTEST, most=INTERVAL_LIMIT)
    return seconds


def _check_seconds(name: str, value: float, *, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingError(f"{name} must be seconds, got {type(value).__name__}")
    if not least <= value <= most:
        raise SettingError(f"{name} must be between {least:g} and {most:g} seconds, got {value!r}")


def _check_count(name: str, value: int, *, most: int, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise SettingError(f"{name} must be at least {least}, got {value}")
    if value > most:
        raise SettingError(f"{name} must be at most {most}, got {value}")
