"""`esync demo`: two real services on this machine, kept in step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from esync.cli.session import Session
from esync.config import EMBEDDED, find_dsn

Csv = Annotated[
    Path | None, typer.Option(help="Your own customers, with any header, instead of the shipped.")
]
Key = Annotated[
    str | None, typer.Option(help="The key column of --csv [the first with unique values].")
]
Rate = Annotated[float, typer.Option(help="Edits of the source per second.", min=0.1, max=10_000)]

DEFAULT_RATE = 20.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    ctx: typer.Context,
    *,
    headless: Annotated[
        bool, typer.Option("--headless", help="No console: run, drain, compare, print the result.")
    ] = False,
    seconds: Annotated[
        float, typer.Option(help="With --headless: how long rows are edited.", min=0, max=86400)
    ] = 30.0,
    csv: Csv = None,
    key: Key = None,
    rate: Rate = DEFAULT_RATE,
) -> None:
    """Keep a table of customers and an HTTP service in step, then compare them row by row.

    Exits with 1 if the two sides differ. Without --dsn it runs on the embedded PostgreSQL; with
    it, in a schema of its own.
    """
    # Only the demo needs its services and the engine: other commands start faster.
    from esync.cli.demo_console import show_demo  # noqa: PLC0415 - see above
    from esync.demo import run_headless  # noqa: PLC0415 - see above

    dsn = demo_dsn(Session.of(ctx))
    if headless:
        raise typer.Exit(run_headless(seconds, dsn=dsn, csv=csv, key=key, rate=rate))
    show_demo(dsn=dsn, csv=csv, key=key, rate=rate)


def demo_dsn(session: Session) -> str | None:
    """Return the DSN of --dsn; the environment's database is nobody's playground."""
    if session.dsn is None:
        return None
    dsn = find_dsn(session.dsn, {})
    return None if dsn == EMBEDDED else dsn
