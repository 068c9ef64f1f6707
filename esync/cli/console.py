"""The entry of `esync-console`: the console on a queue, on a worker of its own, or on the demo."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from esync.cli.command_demo import DEFAULT_RATE, Csv, Key, Rate, demo_dsn
from esync.cli.main import run
from esync.cli.session import DriverFactory, Session, open_postgres, serve
from esync.config import EMBEDDED
from esync.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from esync.config import Place

app = typer.Typer(
    name="esync-console",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def console(
    ctx: typer.Context,
    *,
    dsn: Annotated[
        str | None, typer.Option(help="The database; else ESYNC_DSN, DATABASE_URL, DB_* or PG*.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="The table, or schema.table.")] = None,
    schema: Annotated[str | None, typer.Option(help="The schema.")] = None,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="On the embedded PostgreSQL, migrated when needed.")
    ] = False,
    worker: Annotated[
        str | None, typer.Option("--app", help="Run this APP (module:attribute) inside.")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="On a demo of two services.")] = False,
    csv: Csv = None,
    key: Key = None,
    rate: Rate = DEFAULT_RATE,
) -> None:
    """Watch a queue and act on it."""
    if demo and worker is not None:
        raise SettingError("--demo must stand without --app: it brings its own worker")
    if embedded and dsn is not None:
        raise SettingError("--embedded must stand without --dsn")
    session = Session.of(ctx)
    session.choose(dsn=EMBEDDED if embedded else dsn, schema=schema, table=table)
    if demo:
        _show_demo(session, csv=csv, key=key, rate=rate)
    else:
        _show(session, worker=worker, embedded=embedded)


def main(
    arguments: Sequence[str] | None = None,
    *,
    open_driver: DriverFactory = open_postgres,
    environ: Mapping[str, str] | None = None,
) -> NoReturn:
    """Run the console and end the process with its exit code."""
    run(
        app,
        sys.argv[1:] if arguments is None else arguments,
        open_driver=open_driver,
        environ=environ,
    )


def _show_demo(session: Session, *, csv: Path | None, key: str | None, rate: float) -> None:
    # The console takes half a second to load: help and wrong use do without it.
    from esync.cli.demo_console import show_demo  # noqa: PLC0415 - see above

    show_demo(dsn=demo_dsn(session), csv=csv, key=key, rate=rate)


def _show(session: Session, *, worker: str | None, embedded: bool) -> None:
    # The console and the engine take half a second to load: help and wrong use do without them.
    from esync.cli.console_inside import show_console, show_worker  # noqa: PLC0415 - see above
    from esync.cli.worker_app import open_app  # noqa: PLC0415 - see above

    with ExitStack() as stack:
        if embedded:
            _migrate(stack, session.place())
        if worker is not None:
            show_worker(session, stack, open_app(session, stack, app=worker))
        driver = stack.enter_context(session.open_driver(session.place(), purpose="console"))
        show_console(driver, title=session.title())


def _migrate(stack: ExitStack, place: Place) -> None:
    """Bring the embedded database up to date, which is this user's alone; it runs on meanwhile."""
    from esync.postgres.migrate import migrate  # noqa: PLC0415 - psycopg is not always needed

    migrate(stack.enter_context(serve(place)), schema=place.schema, table=place.table)


if __name__ == "__main__":
    main()
