"""The source of the demo: a PostgreSQL schema whose trigger adds a task per changed customer."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from esync.demo.record import Collection, Record, to_task_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from psycopg import Connection
    from psycopg.rows import TupleRow

    from esync.task_manager import TaskManager

_PAGE = 1000
_CONNECTIONS = 10
_CONNECT_LIMIT = 10.0
"""Seconds to wait for a connection."""


class Source:
    """Customers and invoices in tables of a schema; every thread may call."""

    def __init__(self, dsn: str, *, schema: str, table: str) -> None:
        self._schema = schema
        self._table = table
        self._pool: ConnectionPool[Connection[TupleRow]] = ConnectionPool(
            dsn,
            min_size=1,
            max_size=_CONNECTIONS,
            timeout=_CONNECT_LIMIT,
            kwargs={"application_name": "esync:demo", "client_encoding": "UTF8"},
            name="esync-demo-source",
            open=False,
        )

    def open(self) -> None:
        """Connect; raise psycopg's PoolTimeout if that does not work in time."""
        self._pool.open(wait=True, timeout=_CONNECT_LIMIT)

    def create(self) -> None:
        """Create the tables and the trigger in the schema, which holds the queue already."""
        text = files("esync.demo").joinpath("source.sql").read_text(encoding="utf-8")
        statement = sql.SQL(text).format(
            schema=sql.Identifier(self._schema),
            queue=sql.Identifier(self._schema, self._table),
        )
        with self._pool.connection() as conn:
            conn.execute(statement)

    def add_customers(self, rows: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Insert many customers in one transaction."""
        statement = sql.SQL("COPY {} (key, fields) FROM STDIN").format(
            self._name(Collection.CUSTOMERS)
        )
        with self._pool.connection() as conn, conn.cursor().copy(statement) as copy:
            for key, fields in rows:
                copy.write_row((key, Jsonb(fields)))

    def read(self, collection: Collection, key: str) -> Record | None:
        """Return one record as it is now."""
        statement = sql.SQL("SELECT key, version, fields FROM {} WHERE key = %s").format(
            self._name(collection)
        )
        with self._pool.connection() as conn:
            row = conn.execute(statement, (key,)).fetchone()
        return _record(row) if row else None

    def scan(self, collection: Collection) -> Iterator[Record]:
        """Yield every record in the order of the keys' UTF-8 bytes, page by page."""
        statement = sql.SQL(
            "SELECT key, version, fields FROM {} WHERE key > %s ORDER BY key LIMIT %s"
        ).format(self._name(collection))
        after = ""
        while True:
            with self._pool.connection() as conn:
                page = conn.execute(statement, (after, _PAGE)).fetchall()
            yield from map(_record, page)
            if len(page) < _PAGE:
                return
            after = page[-1][0]

    def write_customer(self, key: str, fields: Mapping[str, Any]) -> None:
        """Insert or update a customer; the trigger adds the task."""
        statement = sql.SQL(
            "INSERT INTO {} (key, fields) VALUES (%s, %s)"
            " ON CONFLICT (key) DO UPDATE SET fields = EXCLUDED.fields"
        ).format(self._name(Collection.CUSTOMERS))
        with self._pool.connection() as conn:
            conn.execute(statement, (key, Jsonb(dict(fields))))

    def delete_customer(self, key: str) -> None:
        """Delete a customer; the trigger adds the task."""
        statement = sql.SQL("DELETE FROM {} WHERE key = %s").format(
            self._name(Collection.CUSTOMERS)
        )
        with self._pool.connection() as conn:
            conn.execute(statement, (key,))

    def add_invoice(
        self, key: str, fields: Mapping[str, Any], *, task_manager: TaskManager
    ) -> None:
        """Insert an invoice, and add its task in the same transaction: both, or neither."""
        statement = sql.SQL("INSERT INTO {} (key, fields) VALUES (%s, %s)").format(
            self._name(Collection.INVOICES)
        )
        with self._pool.connection() as conn:
            conn.execute(statement, (key, Jsonb(dict(fields))))
            task_manager.within(conn).add_task(
                Collection.INVOICES.task_name, to_task_key(key), {"invoice": key}
            )

    def waiting(self, collection: Collection, keys: Sequence[str]) -> set[str]:
        """Return which of these keys have a task that is pending or running."""
        by_task_key = {to_task_key(key): key for key in keys}
        statement = sql.SQL(
            "SELECT DISTINCT task_key FROM {} WHERE task_name = %s AND task_key = ANY(%s)"
            " AND state IN ('READY', 'RETRY', 'IN PROGRESS')"
        ).format(sql.Identifier(self._schema, self._table))
        with self._pool.connection() as conn:
            rows = conn.execute(statement, (collection.task_name, list(by_task_key))).fetchall()
        return {by_task_key[row[0]] for row in rows}

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def _name(self, collection: Collection) -> sql.Identifier:
        return sql.Identifier(self._schema, collection.table)


def _record(row: TupleRow) -> Record:
    key, version, fields = row
    return Record(key=key, version=version, fields=fields)
