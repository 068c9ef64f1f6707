"""esync: a synchronisation queue on PostgreSQL where the newest request wins."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from esync.errors import (
    AppError,
    DriverError,
    DriverUnavailableError,
    EsyncError,
    Fail,
    HandlerError,
    LeaseLostError,
    OutcomeUnknownError,
    Retry,
    SchemaError,
    SettingError,
    StateError,
    TaskNotFoundError,
    TaskValueError,
    TooManyTasksError,
    UnknownNameError,
    WorkerGoneError,
)
from esync.task import NewTask, TaskResult, TaskState, hash_key
from esync.task_manager import TaskManager
from esync.version import __version__

if TYPE_CHECKING:
    from esync.engine.sync_manager import SyncManager
    from esync.engine.task import Task
    from esync.memory import MemoryDriver
    from esync.postgres.driver import PostgresDriver

__all__ = [
    "AppError",
    "DriverError",
    "DriverUnavailableError",
    "EsyncError",
    "Fail",
    "HandlerError",
    "LeaseLostError",
    "MemoryDriver",
    "NewTask",
    "OutcomeUnknownError",
    "PostgresDriver",
    "Retry",
    "SchemaError",
    "SettingError",
    "StateError",
    "SyncManager",
    "Task",
    "TaskManager",
    "TaskNotFoundError",
    "TaskResult",
    "TaskState",
    "TaskValueError",
    "TooManyTasksError",
    "UnknownNameError",
    "WorkerGoneError",
    "__version__",
    "hash_key",
]

# What takes long to load is loaded when it is asked for: a producer needs no engine, and most
# commands need neither that nor a database.
_LOADED_LATER = {
    "MemoryDriver": "esync.memory",
    "PostgresDriver": "esync.postgres.driver",
    "SyncManager": "esync.engine.sync_manager",
    "Task": "esync.engine.task",
}

if not TYPE_CHECKING:  # type checkers would take every misspelt name for one of these

    def __getattr__(name: str) -> object:
        """Load the module of a public name when it is first asked for (PEP 562)."""
        if name not in _LOADED_LATER:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = getattr(import_module(_LOADED_LATER[name]), name)
        globals()[name] = value
        return value
