"""The statements of esync/postgres/sql/, read once, without their comments and layout.

psycopg caches what it parsed of statements below 4,096 characters only, and every byte is sent
again until a statement is prepared.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files


@cache
def statement(verb: str) -> str:
    """Return the text of sql/<verb>.sql; {table} and its companions are still to be filled in."""
    text = (files("esync.postgres") / "sql" / f"{verb}.sql").read_text(encoding="utf-8")
    code = re.sub(r"--[^\n]*", "", text)
    return re.sub(r"\s+", " ", code).replace("( ", "(").replace(" )", ")").strip()
