"""How a command ends: the exit codes, and one clear line for every error a person can cause."""

from __future__ import annotations

from enum import IntEnum

from esync.cli.output import warn
from esync.config import NoDatabaseError, redact
from esync.errors import (
    AppError,
    DriverError,
    EsyncError,
    SchemaError,
    SettingError,
    TaskValueError,
    TooManyTasksError,
)


class ExitCode(IntEnum):
    """What the exit code of every command says."""

    DONE = 0
    NOTHING_DONE = 1
    """Nothing matched, or the state does not allow it; the reason was said."""
    WRONG_USE = 2
    REFUSED = 3
    """More tasks than --max."""
    NO_DATABASE = 4
    """The database is away or not named, or its schema is missing."""
    STILL_RUNNING = 5
    """The worker left at the end of the grace period with handlers still running."""


def exit_code_of(error: EsyncError) -> ExitCode:
    """Return the exit code for an error."""
    match error:
        case NoDatabaseError() | DriverError():
            return ExitCode.NO_DATABASE
        case TooManyTasksError():
            return ExitCode.REFUSED
        case TaskValueError() | SettingError() | AppError():
            return ExitCode.WRONG_USE
        case _:
            return ExitCode.NOTHING_DONE


def report(error: EsyncError, *, migrate_command: str) -> None:
    """Write an error as one line on stderr, without secrets and control characters."""
    text = redact(str(error))
    if isinstance(error, SchemaError):
        # The driver does not know how its queue was named on the command line.
        text = text.replace("`esync migrate`", f"`{migrate_command}`")
    warn(text)
