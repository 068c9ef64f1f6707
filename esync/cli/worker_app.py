"""An APP with its settings and a driver: what `esync worker` and `esync-console --app` run."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from esync import config
from esync.cli.app_loader import load_app, make_manager
from esync.engine.sync_manager import SyncManager

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack

    from esync.cli.session import Session
    from esync.driver import ConsoleDriver


def open_app(
    session: Session,
    stack: ExitStack,
    *,
    app: str | None,
    options: Mapping[str, str | None] | None = None,
) -> SyncManager:
    """Return the configured manager of an APP; the stack closes its driver.

    An APP that is a SyncManager has brought its own. Nothing is connected yet. Raises AppError and
    SettingError.
    """
    file = session.file()
    settings = config.find_worker_settings(options or {}, session.environ, file)
    spec = config.find_app(app, session.environ, file)
    manager = load_app(spec, directory=session.directory)
    if not isinstance(manager, SyncManager):
        driver = stack.enter_context(session.open_driver(session.place(), purpose="worker"))
        manager = make_manager(spec, manager, driver)
    else:
        stack.callback(manager.driver.close)
    manager.configure(**settings)
    return manager


def console_side(manager: SyncManager) -> ConsoleDriver | None:
    """Return the manager's driver if operators can use it too, as PostgresDriver's can."""
    driver = manager.driver
    return cast("ConsoleDriver", driver) if hasattr(driver, "get_overview") else None
