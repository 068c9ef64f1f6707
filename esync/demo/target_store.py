"""The target's own store: one SQLite file with records and what was refused."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

from esync.demo.record import Record

if TYPE_CHECKING:
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (collection, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refusal (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (collection, key)
) WITHOUT ROWID;
"""


class TargetStore:
    """Records by collection and key; every thread may ask, one at a time."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()  # guards _conn
        self._conn = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._conn.execute("PRAGMA journal_mode = WAL")
        self._conn.execute("PRAGMA synchronous = NORMAL")
        self._conn.executescript(_SCHEMA)

    def put(self, collection: str, record: Record) -> bool:
        """Store a record; tell whether a newer version of it was there already.

        The older one replaces it all the same: a target that tidied up behind its clients would
        hide their mistakes.
        """
        text = json.dumps(record.fields, ensure_ascii=False)
        with self._lock, self._conn:
            self._conn.execute("BEGIN IMMEDIATE")
            before = self._conn.execute(
                "SELECT version FROM record WHERE collection = ? AND key = ?",
                (collection, record.key),
            ).fetchone()
            self._conn.execute(
                "INSERT OR REPLACE INTO record (collection, key, version, fields)"
                " VALUES (?, ?, ?, ?)",
                (collection, record.key, record.version, text),
            )
        return before is not None and before[0] > record.version

    def refuse(self, collection: str, key: str, *, version: int, reason: str) -> None:
        """Remember that this version of a record was refused."""
        self._execute(
            "INSERT OR REPLACE INTO refusal (collection, key, version, reason) VALUES (?, ?, ?, ?)",
            (collection, key, version, reason),
        )

    def get(self, collection: str, key: str) -> Record | None:
        """Return one record."""
        rows = self._execute(
            "SELECT key, version, fields FROM record WHERE collection = ? AND key = ?",
            (collection, key),
        )
        return _record(rows[0]) if rows else None

    def delete(self, collection: str, key: str) -> bool:
        """Delete a record; tell whether it was there."""
        return bool(
            self._execute(
                "DELETE FROM record WHERE collection = ? AND key = ? RETURNING key",
                (collection, key),
            )
        )

    def scan(self, collection: str, *, after: str, limit: int) -> list[Record]:
        """Return the records that follow a key, in the order of the keys' UTF-8 bytes."""
        rows = self._execute(
            "SELECT key, version, fields FROM record WHERE collection = ? AND key > ?"
            " ORDER BY key LIMIT ?",
            (collection, after, limit),
        )
        return [_record(row) for row in rows]

    def refusals(self, collection: str) -> dict[str, dict[str, Any]]:
        """Return version and reason of what was refused last, by key."""
        rows = self._execute(
            "SELECT key, version, reason FROM refusal WHERE collection = ?", (collection,)
        )
        return {key: {"version": version, "reason": reason} for key, version, reason in rows}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._conn.close()

    def _execute(self, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
        with self._lock, closing(self._conn.execute(statement, parameters)) as cursor:
            return cursor.fetchall()


def _record(row: tuple[str, int, str]) -> Record:
    key, version, text = row
    return Record(key=key, version=version, fields=json.loads(text))
