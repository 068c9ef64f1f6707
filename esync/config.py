"""Settings: where they may come from, what they must be, and how to show them without secrets.

An option goes before the environment, the environment before [tool.esync] of the pyproject.toml
in the current directory. An empty value counts as not given. Nothing here reads anything but what
it is handed, except `read_file`, which reads that one file.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from esync.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EMBEDDED = "embedded"
"""The DSN that stands for the PostgreSQL of the `embedded` extra."""

DEFAULT_SCHEMA = "public"
DEFAULT_TABLE = "message_queue"

FILE_KEYS = ("app", "lease", "heartbeat", "poll", "grace", "schema", "table")
"""What [tool.esync] may hold. A DSN with its password does not belong in a file that is shared."""

_FILE_LIMIT_BYTES = 1024 * 1024
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,47}")
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(ms|s|m|h|d))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_TEXT = 40

_URI = re.compile(r"postgres(?:ql)?://", re.IGNORECASE)
_URI_PASSWORD = re.compile(r"(postgres(?:ql)?://[^:@/?#\s]*):[^/?#\s]*@", re.IGNORECASE)
# The password may itself hold '/', '?' or '#' although a URI forbids it: take all up to the last
# '@' of the word, rather than show half of a secret.
_URI_PASSWORD_WIDE = re.compile(r"(postgres(?:ql)?://[^:@\s]*):\S*@", re.IGNORECASE)
_PAIR_PASSWORD = re.compile(
    r"\b((?:ssl)?password)(\s*=\s*)('(?:[^'\\]|\\.)*'?|(?:\\.|[^\s&\\])+)",
    re.IGNORECASE | re.DOTALL,
)
_PAIR = re.compile(r"[a-z_]+\s*=", re.IGNORECASE)

_CURE = (
    "no database named: give --dsn, or set ESYNC_DSN, DATABASE_URL, DB_HOST/DB_USER/DB_PASS/DB_DB"
    f" or PGHOST/PGDATABASE ('{EMBEDDED}' is the PostgreSQL of the embedded extra)"
)


class NoDatabaseError(SettingError):
    """No database is named anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which queue: the database, the schema and the table."""

    dsn: str = field(repr=False)
    """What libpq takes; '' leaves everything to its PG* variables. May hold a password."""
    schema: str = DEFAULT_SCHEMA
    table: str = DEFAULT_TABLE

    @property
    def is_embedded(self) -> bool:
        """Whether the PostgreSQL of the `embedded` extra is meant."""
        return self.dsn == EMBEDDED


def find_place(
    *,
    dsn: str | None = None,
    schema: str | None = None,
    table: str | None = None,
    environ: Mapping[str, str],
    file: Mapping[str, Any] | None = None,
) -> Place:
    """Return the queue that the options, the environment or the file name."""
    named_schema, named_table = find_table(schema=schema, table=table, environ=environ, file=file)
    return Place(dsn=find_dsn(dsn, environ), schema=named_schema, table=named_table)


def find_dsn(option: str | None, environ: Mapping[str, str]) -> str:
    """Return the first DSN of --dsn, ESYNC_DSN, DATABASE_URL, DB_* and PG*.

    '' means that libpq finds everything in its own PG* variables. Raises NoDatabaseError when
    none names a database, so that nobody serves an empty local one by mistake.
    """
    for source, value in (
        ("--dsn", option),
        ("ESYNC_DSN", environ.get("ESYNC_DSN")),
        ("DATABASE_URL", environ.get("DATABASE_URL")),
    ):
        if value and value.strip():
            return check_dsn(value.strip(), source=source)
    if environ.get("DB_HOST") or environ.get("DB_DB"):
        return _dsn_of_parts(environ)
    if any(environ.get(name) for name in ("PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE")):
        return ""
    raise NoDatabaseError(_CURE)


def check_dsn(dsn: str, *, source: str = "the DSN") -> str:
    """Return a DSN that looks like one, else raise SettingError; its text is never repeated."""
    is_like_one = dsn == EMBEDDED or _URI.match(dsn) or _PAIR.match(dsn)
    if not is_like_one or not dsn.isprintable():
        raise SettingError(
            f"{source} must be a postgresql:// address, key=value pairs or '{EMBEDDED}',"
            " got something else (not repeated here, as it may hold a password)"
        )
    return dsn


def find_table(
    *,
    schema: str | None,
    table: str | None,
    environ: Mapping[str, str],
    file: Mapping[str, Any] | None = None,
) -> tuple[str, str]:
    """Return schema and table; 'schema.table' names both."""
    file = file or {}
    named = table or environ.get("ESYNC_TABLE") or environ.get("DB_TABLE") or file.get("table")
    owner = schema or environ.get("ESYNC_SCHEMA") or file.get("schema")
    prefix, dot, name = (named or DEFAULT_TABLE).rpartition(".")
    if not dot:
        return check_identifier("schema", owner or DEFAULT_SCHEMA), check_identifier("table", name)
    if schema and schema != prefix:
        raise SettingError(f"table must lie in the schema {schema!r}, got {named!r}")
    return check_identifier("schema", prefix), check_identifier("table", name)


def check_identifier(what: str, name: str) -> str:
    """Return the name of a schema or table if it may be one, else raise SettingError."""
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name):
        shown = name[:_LONGEST_TEXT] if isinstance(name, str) else name
        raise SettingError(
            f"{what} must be 1 to 48 letters, digits or underscores (a-z, not starting with a"
            f" digit), got {shown!r}"
        )
    return name


def find_worker_settings(
    options: Mapping[str, float | str | None],
    environ: Mapping[str, str],
    file: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Return those of lease, heartbeat, poll and grace that are given somewhere, in seconds.

    What is given nowhere is left out, since an APP may have set it. Whether the values go together
    is the engine's to say, which knows them all. Raises SettingError for what is no duration.
    """
    found = {name: _find_seconds(name, options, environ, file or {}) for name in _WORKER_NAMES}
    return {name: seconds for name, seconds in found.items() if seconds is not None}


def find_app(option: str | None, environ: Mapping[str, str], file: Mapping[str, Any]) -> str:
    """Return the APP (module:attribute) that is named first, else raise SettingError."""
    app = option or environ.get("ESYNC_APP", "").strip() or file.get("app")
    if not app:
        raise SettingError(
            "no APP named: give it as module:attribute, or set ESYNC_APP, or app in [tool.esync]"
            " of pyproject.toml"
        )
    return str(app)


def parse_seconds(what: str, text: float | str) -> float:
    """Return the seconds of '30s', '10m', '1h30m', '2d', '250ms' or a bare number of seconds."""
    if isinstance(text, str):
        text = text.strip()
        if _NUMBER.fullmatch(text) and len(text) <= _LONGEST_TEXT:
            return float(text)
        if _DURATION.fullmatch(text) and len(text) <= _LONGEST_TEXT:
            parts = _DURATION_PART.findall(text)
            return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    elif not isinstance(text, bool) and isinstance(text, int | float):
        return float(text)
    shown = text[:_LONGEST_TEXT] if isinstance(text, str) else text
    raise SettingError(
        f"{what} must be a duration such as 30s, 10m, 1h or 2d (a bare number is seconds),"
        f" got {shown!r}"
    )


def read_file(path: Path) -> dict[str, Any]:
    """Return [tool.esync] of a pyproject.toml; {} when there is no such file or table.

    Raises SettingError for a file that cannot be read, unknown keys and wrong types.
    """
    text = _read_text(path)
    if text is None:
        return {}
    try:
        table = tomllib.loads(text).get("tool", {}).get("esync", {})
    except (tomllib.TOMLDecodeError, RecursionError, AttributeError) as exc:
        msg = f"{path.name} must be TOML: {exc}"
        raise SettingError(msg) from None
    if not isinstance(table, dict):
        raise SettingError(f"{path.name}: [tool.esync] must be a table")
    for key, value in table.items():
        _check_entry(path.name, key, value)
    return table


def redact(text: str) -> str:
    """Return text in which the passwords of addresses and key=value pairs are '***'."""
    text = _PAIR_PASSWORD.sub(r"\1\2***", text)
    text = _URI_PASSWORD.sub(r"\1:***@", text)
    return _URI_PASSWORD_WIDE.sub(r"\1:***@", text)


_WORKER_NAMES = ("lease", "heartbeat", "poll", "grace")


def _find_seconds(
    name: str,
    options: Mapping[str, float | str | None],
    environ: Mapping[str, str],
    file: Mapping[str, Any],
) -> float | None:
    variable = f"ESYNC_{name.upper()}"
    for source, value in (
        (f"--{name}", options.get(name)),
        (variable, environ.get(variable, "").strip()),
        (f"{name} in [tool.esync]", file.get(name)),
    ):
        if value is not None and value != "":
            return parse_seconds(source, value)
    return None


def _dsn_of_parts(environ: Mapping[str, str]) -> str:
    """Put the variables of the original together; what is missing is libpq's default."""
    parts = (
        ("host", "DB_HOST"),
        ("port", "DB_PORT"),
        ("user", "DB_USER"),
        ("password", "DB_PASS"),
        ("dbname", "DB_DB"),
    )
    given = [(key, environ[name]) for key, name in parts if environ.get(name)]
    return " ".join(f"{key}={_quote(value)}" for key, value in given)


def _quote(value: str) -> str:
    if not value.isprintable():
        raise SettingError("DB_HOST, DB_USER, DB_PASS and DB_DB must be printable text")
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _read_text(path: Path) -> str | None:
    try:
        # A pipe with nobody at its other end would block for ever: look before reading.
        if not stat.S_ISREG(path.stat().st_mode):
            raise SettingError(f"{path.name} must be a regular file")
        with path.open("rb") as file:
            content = file.read(_FILE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        msg = f"{path.name} cannot be read: {os.strerror(exc.errno or 0)}"
        raise SettingError(msg) from None
    if len(content) > _FILE_LIMIT_BYTES:
        raise SettingError(f"{path.name} must be at most {_FILE_LIMIT_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        msg = f"{path.name} must be UTF-8: bad byte at {exc.start}"
        raise SettingError(msg) from None


def _check_entry(file_name: str, key: str, value: object) -> None:
    if key not in FILE_KEYS:
        raise SettingError(
            f"{file_name}: [tool.esync] must hold only {', '.join(FILE_KEYS)}, got {key!r}"
        )
    is_text = key not in _WORKER_NAMES
    is_right = isinstance(value, str) or (
        not is_text and isinstance(value, int | float) and not isinstance(value, bool)
    )
    if not is_right:
        kind = "text" if is_text else "seconds"
        raise SettingError(
            f"{file_name}: {key} in [tool.esync] must be {kind}, got {type(value).__name__}"
        )
