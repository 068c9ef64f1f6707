"""The identifiers of one queue: its table, its companions, its channel, its locks."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache

from psycopg import sql

from esync.errors import SettingError

COMPANIONS = ("runner", "worker", "schedule", "minute", "audit", "migration")
_IDENTIFIER_LIMIT_BYTES = 48
"""Room for our suffixes within PostgreSQL's 63 bytes, beyond which names are cut silently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The table and schema that a driver works on."""

    schema: str = "public"
    table: str = "message_queue"

    def __post_init__(self) -> None:
        _check_identifier("schema", self.schema)
        _check_identifier("table", self.table)

    @property
    def channel(self) -> str:
        """The NOTIFY channel; schema/005_wake_gate.sql derives the same."""
        return f"esync_{self._digest().hex()[:16]}"

    @property
    def sleep_space(self) -> int:
        """The first half of the keys of the locks of sleeping names; that file derives it, too."""
        return int.from_bytes(self._digest()[:4], signed=True)

    def compose(self, text: str) -> str:
        """Return a statement with {table}, {id} and the companions filled in, quoted."""
        return _compose(self.schema, self.table, text)

    def lock(self, kind: str, name: str) -> int:
        """Return the key of the advisory lock of a runner or a stream of this queue."""
        return _lock(f"esync {kind} {self.schema}.{self.table} {name}")

    def _digest(self) -> bytes:
        # MD5 because PostgreSQL has it built in; nothing depends on its strength.
        text = f"{self.schema}.{self.table}"
        return hashlib.md5(text.encode(), usedforsecurity=False).digest()


@cache
def _compose(schema: str, table: str, text: str) -> str:
    identifiers = {
        companion: sql.Identifier(schema, f"{table}_{companion}") for companion in COMPANIONS
    }
    identifiers["table"] = sql.Identifier(schema, table)
    identifiers["id"] = sql.Identifier(f"{table}_id")
    return sql.SQL(text).format(**identifiers).as_string(None)


@cache
def _lock(text: str) -> int:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], signed=True)


def _check_identifier(field: str, text: str) -> None:
    if not text or "\x00" in text:
        raise SettingError(f"{field} must be a name without NUL, got {text!r}")
    if len(text.encode("utf-8", "replace")) > _IDENTIFIER_LIMIT_BYTES:
        raise SettingError(
            f"{field} must have at most {_IDENTIFIER_LIMIT_BYTES} bytes, got {text!r:.80}"
        )
    if re.search(r"[\ud800-\udfff%{}]", text):
        raise SettingError(f"{field} must be a plain name, got {text!r}")
