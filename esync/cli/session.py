"""What every command needs: the settings that apply here, and a driver for them."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from esync import config
from esync.cli.output import warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    import typer

    from esync.config import Place
    from esync.driver import Driver


class DriverFactory(Protocol):
    """Opens the driver of a place; the CLI is given one and never constructs a driver itself."""

    def __call__(self, place: Place, *, purpose: str) -> AbstractContextManager[Driver]:
        """Return a context that closes the driver at its end; nothing is connected yet."""


@dataclass(slots=True, kw_only=True)
class Session:
    """One run of the command line."""

    environ: Mapping[str, str]
    directory: Path
    """Where pyproject.toml is looked for, and what is appended to sys.path for an APP."""
    open_driver: DriverFactory
    dsn: str | None = None
    schema: str | None = None
    table: str | None = None

    @staticmethod
    def of(ctx: typer.Context) -> Session:
        """Return the session that `main` put into typer's context."""
        return cast("Session", ctx.obj)

    def choose(self, *, dsn: str | None, schema: str | None, table: str | None) -> None:
        """Keep the options that say which queue is meant."""
        self.dsn, self.schema, self.table = dsn, schema, table
        if dsn and config.redact(dsn) != dsn:
            warn(
                "a password in --dsn can be seen by everybody on this machine;"
                " ESYNC_DSN or a password file cannot"
            )

    def file(self) -> dict[str, Any]:
        """Return [tool.esync] of the current directory."""
        return config.read_file(self.directory / "pyproject.toml")

    def place(self) -> Place:
        """Return the queue that is meant, or raise SettingError."""
        return config.find_place(
            dsn=self.dsn,
            schema=self.schema,
            table=self.table,
            environ=self.environ,
            file=self.file(),
        )

    def names(self) -> tuple[str, str]:
        """Return schema and table, for what needs no database."""
        return config.find_table(
            schema=self.schema, table=self.table, environ=self.environ, file=self.file()
        )

    def title(self) -> str:
        """Return schema and table, as people write them."""
        return ".".join(self.names())

    def migrate_command(self) -> str:
        """Return the command that brings the schema of the queue that is meant up to date."""
        given = {"--dsn": self.dsn, "--schema": self.schema, "--table": self.table}
        words = [
            f"{name} {shlex.quote(config.redact(value))}" for name, value in given.items() if value
        ]
        return " ".join(["esync", "migrate", *words])

    @contextmanager
    def driver(self, *, purpose: str = "cli") -> Iterator[Driver]:
        """Lend a driver whose schema fits; raise DriverUnavailableError or SchemaError."""
        with self.open_driver(self.place(), purpose=purpose) as driver:
            driver.check_schema()
            yield driver


@contextmanager
def open_postgres(place: Place, *, purpose: str) -> Iterator[Driver]:
    """Lend a PostgresDriver, on the embedded PostgreSQL if that is named."""
    # psycopg is a third of the start-up time: `esync --help` does without it.
    from esync.postgres.driver import PostgresDriver  # noqa: PLC0415 - see above

    with serve(place) as dsn:
        driver = PostgresDriver(dsn, schema=place.schema, table=place.table, purpose=purpose)
        try:
            yield driver
        finally:
            driver.close()


@contextmanager
def serve(place: Place) -> Iterator[str]:
    """Yield the DSN of a place; the embedded PostgreSQL runs meanwhile if that is named."""
    if not place.is_embedded:
        yield place.dsn
        return
    from esync.postgres.embedded import start_embedded  # noqa: PLC0415 - an extra

    with start_embedded() as server:
        yield server.dsn()
