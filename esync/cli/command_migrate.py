"""`esync migrate`: create the schema or bring it up to date."""

from __future__ import annotations

from typing import Annotated

import typer

from esync.cli.options import Json
from esync.cli.output import say, say_block, say_json
from esync.cli.session import Session, serve


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate")(migrate)


def migrate(
    ctx: typer.Context,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 4 if the schema does not fit.")
    ] = False,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL for psql; needs no database.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Create the tables, or bring an existing queue up to date without losing a row."""
    # psycopg is a third of the start-up time: other commands load it when they connect.
    from esync.postgres import migrate as migrations  # noqa: PLC0415 - see above

    session = Session.of(ctx)
    if sql:
        schema, table = session.names()
        say_block(migrations.to_sql(schema=schema, table=table))
        return
    place = session.place()
    with serve(place) as dsn:
        applied: list[str] = []
        if check:
            migrations.check(dsn, schema=place.schema, table=place.table)
        else:
            applied = migrations.migrate(dsn, schema=place.schema, table=place.table)
    if as_json:
        say_json({"schema": place.schema, "table": place.table, "applied": applied})
    else:
        what = f"applied {', '.join(applied)}" if applied else "the schema is up to date"
        say(f"{place.schema}.{place.table}: {what}")
