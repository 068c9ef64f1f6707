"""`esync worker`: run the handlers of an APP, under the console or bare."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from esync.cli.session import Session

if TYPE_CHECKING:
    from esync.engine.sync_manager import SyncManager


class LogLevel(StrEnum):
    """What a headless worker logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Seconds = str
"""A duration as it was typed: 30s, 2m, or a bare number of seconds."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("worker")(worker)


def worker(
    ctx: typer.Context,
    app: Annotated[
        str | None,
        typer.Argument(
            metavar="[APP]",
            help="module:attribute: a SyncManager, or a function that takes a driver and returns"
            " one; else ESYNC_APP, or app in [tool.esync] of pyproject.toml.",
        ),
    ] = None,
    *,
    headless: Annotated[
        bool, typer.Option("--headless", help="No console: log to stderr.")
    ] = False,
    lease: Annotated[
        Seconds | None, typer.Option(help="Unheard for so long, its tasks are rescued [30s].")
    ] = None,
    heartbeat: Annotated[
        Seconds | None, typer.Option(help="Between two signs of life [lease/6].")
    ] = None,
    poll: Annotated[
        Seconds | None, typer.Option(help="Between two looks at the queue [1s].")
    ] = None,
    grace: Annotated[
        Seconds | None, typer.Option(help="What running handlers get when it stops [30s].")
    ] = None,
    log_level: Annotated[LogLevel, typer.Option(help="With --headless.")] = LogLevel.INFO,
) -> None:
    """Run the handlers of an APP until SIGTERM or SIGINT; a second signal skips the grace."""
    # The engine, and the console above it, are loaded by nobody else: other commands start faster.
    from esync.cli.worker_app import open_app  # noqa: PLC0415 - see above

    options = {"lease": lease, "heartbeat": heartbeat, "poll": poll, "grace": grace}
    session = Session.of(ctx)
    with ExitStack() as stack:
        manager = open_app(session, stack, app=app, options=options)
        if headless:
            _run_headless(manager, level=log_level)
        else:
            _run_console(session, stack, manager)


def _run_headless(manager: SyncManager, *, level: LogLevel) -> None:
    from esync.cli.headless import run_headless, start_logging  # noqa: PLC0415 - see above
    from esync.cli.worker_app import console_side  # noqa: PLC0415 - see above

    start_logging(level)
    run_headless(manager, driver=console_side(manager))


def _run_console(session: Session, stack: ExitStack, manager: SyncManager) -> None:
    from esync.cli.console_inside import show_worker  # noqa: PLC0415 - textual, see above

    show_worker(session, stack, manager)
