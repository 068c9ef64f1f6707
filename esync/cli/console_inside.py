"""The console over a driver, with or without an engine inside."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from esync.cli.leaving import leave
from esync.cli.worker_app import console_side
from esync.errors import DriverUnavailableError
from esync.operations import Operations
from esync_tui.app import run_console

if TYPE_CHECKING:
    from contextlib import ExitStack

    from esync.cli.session import Session
    from esync.driver import ConsoleDriver
    from esync.engine.sync_manager import SyncManager
    from esync_tui.engine import Engine


class EngineInside:
    """A SyncManager as the console sees it."""

    def __init__(self, manager: SyncManager) -> None:
        self._manager = manager

    @property
    def running(self) -> int:
        """How many handlers run at this moment."""
        return self._manager.running

    def start(self) -> None:
        """Begin to run tasks."""
        self._manager.start()

    def stop(self, grace: float) -> int:
        """Stop within so many seconds; return how many handlers still run then."""
        return len(self._manager.stop(grace))


def show_worker(session: Session, stack: ExitStack, manager: SyncManager) -> NoReturn:
    """Show the console over a worker until both have ended; end the process with the exit code."""
    driver = console_side(manager) or stack.enter_context(
        session.open_driver(session.place(), purpose="console")
    )
    show_console(driver, title=session.title(), manager=manager)


def show_console(
    driver: ConsoleDriver, *, title: str, manager: SyncManager | None = None
) -> NoReturn:
    """Show the console until it is left; end the process with its exit code.

    A database that is away is shown as such; a schema that does not fit raises SchemaError.
    """
    with suppress(DriverUnavailableError):  # the console says so, and waits until it is back
        driver.check_schema()
    if manager is None:
        leave(show(driver, title=title))
    engine = EngineInside(manager)
    leave(show(driver, title=title, engine=engine, grace=manager.settings.grace))


def show(
    driver: ConsoleDriver, *, title: str, engine: Engine | None = None, grace: float = 0.0
) -> int:
    """Show the console; return its exit code."""
    operations = Operations.of_this_user(driver, via="console")
    return run_console(driver, operations, title=title, engine=engine, grace=grace)
