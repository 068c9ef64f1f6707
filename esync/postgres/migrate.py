"""The schema: its files, what version a database has, and bringing it up to date.

The files of schema/ also run in psql; here their few psql commands are followed by hand.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg import sql

from esync.errors import DriverUnavailableError, SchemaError
from esync.postgres.faults import LOCK_TIMEOUT, translate
from esync.postgres.lane import check_conninfo, connect
from esync.postgres.names import Names
from esync.postgres.statements import execute

if TYPE_CHECKING:
    from esync.postgres.link import Connection

_PURPOSE = "esync:migrate"
_SETTINGS = {"enable_seqscan": "on", "statement_timeout": "0"}
_SUFFIX_LINE = re.compile(r"\\set (\w+) :table '(\w+)'")


class Migration(NamedTuple):
    """One file of schema/."""

    version: int
    name: str
    text: str


def list_migrations() -> tuple[Migration, ...]:
    """Return the files of schema/, oldest first: from the wheel, else from the checkout."""
    installed = Path(str(files("esync.postgres"))) / "schema"
    folder = installed if installed.is_dir() else Path(__file__).parents[2] / "schema"
    return tuple(
        Migration(int(path.name[:3]), path.name, path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("[0-9][0-9][0-9]_*.sql"))
    )


def migrate(dsn: str, *, schema: str = "public", table: str = "message_queue") -> list[str]:
    """Bring the schema up to date in one transaction; return the names of the files applied.

    Raises SchemaError when the schema is newer than this library, DriverUnavailableError when
    somebody holds the table for more than five seconds: nothing has been changed then.
    """
    names = Names(schema=schema, table=table)
    with connect(check_conninfo(dsn), purpose=_PURPOSE, settings=_SETTINGS) as conn:
        try:
            with conn.transaction():
                return _apply(conn, names)
        except psycopg.Error as exc:
            if exc.sqlstate == LOCK_TIMEOUT:
                msg = (
                    f"table {schema}.{table} is held by another session for over five seconds;"
                    " nothing was changed, try again when it is free"
                )
                raise DriverUnavailableError(msg) from exc
            raise translate(exc) from exc


def check(dsn: str, *, schema: str = "public", table: str = "message_queue") -> None:
    """Raise SchemaError, saying what to do, unless the schema fits this library."""
    with connect(check_conninfo(dsn), purpose=_PURPOSE) as conn:
        try:
            require_schema(conn, Names(schema=schema, table=table))
        except psycopg.Error as exc:
            raise translate(exc) from exc


def to_sql(schema: str = "public", table: str = "message_queue") -> str:
    """Return the whole schema as SQL for one queue, one transaction, ready for psql."""
    names = Names(schema=schema, table=table)
    texts = [render(migration.text, names) for migration in list_migrations()]
    return "\n".join(["BEGIN;", *texts, "COMMIT;", ""])


def require_schema(conn: Connection, names: Names) -> None:
    """Raise SchemaError unless the schema that a connection sees fits this library."""
    found, wanted = _version(conn, names), list_migrations()[-1].version
    where = f"{names.schema}.{names.table} in database {conn.info.dbname}"
    if found is None:
        raise SchemaError(f"schema missing: no {where}; run `esync migrate`")
    if found < wanted:
        raise SchemaError(
            f"schema older: {where} has version {found}, this esync needs {wanted};"
            " run `esync migrate`"
        )
    if found > wanted:
        raise SchemaError(
            f"schema newer: {where} has version {found}, this esync knows {wanted}; upgrade esync"
        )


def render(text: str, names: Names) -> str:
    """Return the SQL of a file of schema/ with psql's variables filled in."""
    variables = {"schema": names.schema, "table": names.table}
    lines = []
    for line in text.splitlines():
        if match := _SUFFIX_LINE.fullmatch(line):
            variables[match[1]] = names.table + match[2]
        elif not line.startswith("\\"):
            lines.append(line)
    body = "\n".join(lines)
    body = re.sub(r':"(\w+)"', lambda m: _identifier(variables[m[1]]), body)
    return re.sub(r":'(\w+)'", lambda m: _literal(variables[m[1]]), body)


def _apply(conn: Connection, names: Names) -> list[str]:
    # The files take the same lock; here it makes the version that we read the last word.
    conn.execute("SET LOCAL lock_timeout = '60s'")
    title = f"esync migrate {names.schema}.{names.table}"
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [title])
    found = _version(conn, names)
    if found is not None and found > list_migrations()[-1].version:
        require_schema(conn, names)
    pending = [m for m in list_migrations() if m.version > (found or 0)]
    for migration in pending:
        conn.execute(render(migration.text, names).encode())
    return [migration.name for migration in pending]


def _version(conn: Connection, names: Names) -> int | None:
    name = f"{_identifier(names.schema)}.{_identifier(names.table + '_migration')}"
    row = conn.execute("SELECT to_regclass(%s) IS NOT NULL", [name]).fetchone()
    if not (row and row[0]):
        return None
    row = execute(conn, names, "version").fetchone()
    return row[0] if row else None


def _identifier(text: str) -> str:
    return sql.Identifier(text).as_string(None)


def _literal(text: str) -> str:
    return sql.Literal(text).as_string(None)
