"""What went wrong in the database, in our own errors: decided by SQLSTATE, never by class.

psycopg's classes mislead: a read-only server is an InternalError, a payload nested too deep an
OperationalError.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from esync.errors import DriverError, DriverUnavailableError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Classes: 08 connection, 53 resources, 57 operator intervention, 58 system, 40 rollback,
# 28 authorisation.
_PASSING_CLASSES = ("08", "53", "57", "58", "40", "28")
# 25006 read-only server, 25P03 and 25P04 time limits, 55P03 lock timeout, 3D000 no database, 26000
# a statement that a pooler prepared elsewhere, 42501 a right that somebody may grant again.
_PASSING = frozenset({"25006", "25P03", "25P04", "55P03", "3D000", "26000", "42501"})
# 3F000 schema, 42P01 table, 42703 column, 42883 function missing.
_SCHEMA = frozenset({"3F000", "42P01", "42703", "42883"})
_SHUTDOWN = frozenset({"57P01", "57P02", "57P03", "57P05"})

LOCK_TIMEOUT = "55P03"
# The database is there and did not do it. 57014 is a time limit, or somebody cancelled it.
_NOT_AWAY = {LOCK_TIMEOUT: "database busy", "57014": "statement stopped", "42501": "not allowed"}


def translate(exc: Exception, *, was_sent: bool = True) -> DriverError:
    """Return our error for an exception of psycopg, without parameters, rows or passwords.

    `was_sent` tells whether a statement may have reached the server.
    """
    state = getattr(exc, "sqlstate", None)
    text = _primary(exc)
    if state is None:
        if not isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError):
            return DriverError(f"the database refused a value: {text}")
        return DriverUnavailableError(f"database away: {text}", is_ambiguous=was_sent)
    if state in _SCHEMA:
        return SchemaError(f"schema missing or older ({text}); run `esync migrate`")
    if state in _PASSING or state.startswith(_PASSING_CLASSES):
        ambiguous = was_sent and (state in _SHUTDOWN or state.startswith("08"))
        what = _NOT_AWAY.get(state, "database away")
        return DriverUnavailableError(f"{what}: {text} ({state})", is_ambiguous=ambiguous)
    return DriverError(f"the database refused a statement: {text} ({state})")


@contextmanager
def translated() -> Iterator[None]:
    """Turn what psycopg raises into our own errors."""
    try:
        yield
    except (psycopg.Error, UnicodeError, OverflowError) as exc:
        raise translate(exc) from exc


def _primary(exc: Exception) -> str:
    """Return one line without the DETAIL, which may hold a whole row."""
    diag = getattr(exc, "diag", None)
    text = (getattr(diag, "message_primary", None) or str(exc)).strip()
    return " ".join(text.splitlines()[0].split()) if text else type(exc).__name__
