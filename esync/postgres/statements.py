"""The statements of esync/postgres/sql/, read once, without their comments and layout.

They go to the server with numbered parameters: psycopg would parse the named ones at every call,
since it remembers short statements only.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg.rows import TupleRow

    from esync.postgres.names import Names

_PARAMETER = re.compile(r"%\((\w+)\)s")


def execute(
    connection: psycopg.Connection[Any],
    names: Names,
    verb: str,
    params: Mapping[str, Any] | None = None,
    *,
    prepare: bool | None = True,
) -> psycopg.Cursor[TupleRow]:
    """Run sql/<verb>.sql on the tables of `names`; `params` may hold more than it asks for."""
    text, order = numbered(names, verb)
    given = [params[name] for name in order] if params else None
    return psycopg.RawCursor(connection, row_factory=tuple_row).execute(
        text, given, prepare=prepare
    )


@cache
def numbered(names: Names, verb: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a statement with $1, $2, ... and the names of its parameters in that order."""
    named = names.compose(statement(verb))
    order = tuple(dict.fromkeys(_PARAMETER.findall(named)))
    text = _PARAMETER.sub(lambda found: f"${order.index(found[1]) + 1}", named)
    return text.encode(), order


@cache
def statement(verb: str) -> str:
    """Return the text of sql/<verb>.sql; {table} and its companions are still to be filled in."""
    text = (files("esync.postgres") / "sql" / f"{verb}.sql").read_text(encoding="utf-8")
    code = re.sub(r"--[^\n]*", "", text)
    return re.sub(r"\s+", " ", code).replace("( ", "(").replace(" )", ")").strip()
