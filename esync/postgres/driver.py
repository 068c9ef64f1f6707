"""PostgresDriver: the whole store on PostgreSQL 15 to 18."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esync.config import EMBEDDED, find_dsn, find_table
from esync.postgres.actions import PostgresActions
from esync.postgres.console import PostgresConsole
from esync.postgres.producer import PostgresProducer
from esync.postgres.runner import PostgresRunner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esync.postgres.embedded import EmbeddedServer


class PostgresDriver(PostgresProducer, PostgresRunner, PostgresConsole, PostgresActions):
    """Stores tasks in PostgreSQL; implements Driver.

    Opens connections when they are needed, each named for its purpose in pg_stat_activity, and
    opens them again when they were lost. Safe to use from any thread; not across a fork.

    Args:
        dsn: a libpq connection string or URI.
        schema: the schema of the table.
        table: the table; its companions are named after it.
        listen: whether workers listen for notifications. Must be False behind a pooler in
            transaction mode, where LISTEN does nothing, and where the locks by which inserts know
            who sleeps would stay on connections that others use.
        purpose: what stands behind `esync:<kind>:` in the application_name.
    """

    _server: EmbeddedServer | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> PostgresDriver:
        """Return a driver for the database that the environment names.

        Read in this order: ESYNC_DSN, DATABASE_URL, DB_HOST with DB_USER, DB_PASS and DB_DB, then
        libpq's PG* variables; ESYNC_TABLE or DB_TABLE and ESYNC_SCHEMA for the table. `embedded`
        is the PostgreSQL of the `embedded` extra, which runs until the driver is closed or the
        process ends. Raises SettingError when no database is named.
        """
        environ = os.environ if environ is None else environ
        schema, table = find_table(schema=None, table=None, environ=environ)
        dsn = find_dsn(None, environ)
        if dsn != EMBEDDED:
            return cls(dsn, schema=schema, table=table)
        from esync.postgres.embedded import start_embedded  # noqa: PLC0415 - an extra

        server = start_embedded()
        try:
            driver = cls(server.dsn(), schema=schema, table=table)
        except BaseException:
            server.stop()
            raise
        driver._server = server
        return driver

    def close(self) -> None:
        """Close every connection; the driver may be used again and then reconnects.

        A server that `from_env` has started is let go, and stays away.
        """
        super().close()
        server, self._server = self._server, None
        if server is not None:
            server.stop()
