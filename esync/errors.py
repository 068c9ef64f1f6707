"""Every error that esync raises or reports.

EsyncError
├── TaskValueError      bad input: a name, a key, data, a delay, a priority (also a ValueError)
├── SettingError        a setting breaks its rule (also a ValueError)
├── AppError            an APP that cannot be loaded
├── TaskNotFoundError   no such task
├── StateError          the state of a task does not allow the action
├── TooManyTasksError   a bulk action matches more tasks than its maximum
├── DriverError         the store refused something
│   ├── DriverUnavailableError   the database is away, starting, read-only or too busy: try again
│   ├── SchemaError              the schema is missing, older or newer than this library
│   └── WorkerGoneError          the worker has no live row: it must come back under a new id
├── LeaseLostError      an outcome was dropped: the attempt belonged to somebody else by then
├── OutcomeUnknownError an outcome may or may not have been recorded: the row has moved on
├── HandlerError        a handler failed for good, or a scheduled action raised
└── UnknownNameError    tasks were cancelled because no worker ever registered their name

Fail and Retry are what handlers raise to choose their own outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID


class EsyncError(Exception):
    """The root of every error of esync."""


class TaskValueError(EsyncError, ValueError):
    """Bad input; the message names the field and the rule, never the payload."""


class SettingError(EsyncError, ValueError):
    """A setting breaks its rule: '<name> must <rule>, got <value>'."""


class AppError(EsyncError):
    """An APP (module:attribute) that cannot be loaded."""


class TaskNotFoundError(EsyncError):
    """No task matches."""


class StateError(EsyncError):
    """The state of the task does not allow the action; nothing was changed."""


class TooManyTasksError(EsyncError):
    """A bulk action matches more tasks than its maximum; nothing was changed."""

    def __init__(self, message: str, *, matched: int, maximum: int) -> None:
        super().__init__(message)
        self.matched = matched
        self.maximum = maximum


class DriverError(EsyncError):
    """The store refused a statement for a reason that trying again does not cure."""


class DriverUnavailableError(DriverError):
    """The store cannot be reached or cannot write just now; trying again may help.

    `is_ambiguous` tells whether the statement may have been committed all the same: the
    connection was lost after it had been sent.
    """

    def __init__(self, message: str, *, is_ambiguous: bool = False) -> None:
        super().__init__(message)
        self.is_ambiguous = is_ambiguous


class SchemaError(DriverError):
    """The schema is missing, older or newer than this library; the message says what to run."""


class WorkerGoneError(DriverError):
    """The worker's row is gone or its lease has run out: it must register under a new id."""


class LeaseLostError(EsyncError):
    """The outcome of an attempt was dropped: the attempt belonged to somebody else by then."""

    def __init__(self, message: str, *, task_id: UUID) -> None:
        super().__init__(message)
        self.task_id = task_id


class OutcomeUnknownError(EsyncError):
    """The outcome of an attempt may have been recorded, but its row has moved on since."""

    def __init__(self, message: str, *, task_id: UUID) -> None:
        super().__init__(message)
        self.task_id = task_id


class HandlerError(EsyncError):
    """A handler failed for good, or a scheduled action raised."""

    def __init__(self, message: str, *, task_id: UUID | None = None) -> None:
        super().__init__(message)
        self.task_id = task_id


class UnknownNameError(EsyncError):
    """Tasks were cancelled because no worker has ever registered their name."""

    def __init__(self, message: str, *, name: str, count: int) -> None:
        super().__init__(message)
        self.name = name
        self.count = count


class Fail(Exception):  # noqa: N818 - handlers read `raise Fail("no such customer")`
    """Raised by a handler: the task has failed for good."""


class Retry(Exception):  # noqa: N818 - handlers read `raise Retry("busy", after=30)`
    """Raised by a handler: try again, after its own delay (seconds or a timedelta) if given."""

    def __init__(self, message: str = "", *, after: float | timedelta | None = None) -> None:
        super().__init__(message)
        self.after = after
