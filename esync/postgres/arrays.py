"""Arrays of a batch as PostgreSQL reads them in text.

psycopg writes arrays element by element in Python, which took a third of what a worker needs for a
task; joining texts takes a tenth of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID


def uuid_array(values: Iterable[UUID]) -> str:
    """Return the text of a uuid[]."""
    return f"{{{','.join([value.hex for value in values])}}}"


def number_array(values: Iterable[float]) -> str:
    """Return the text of an array of numbers."""
    return f"{{{','.join(map(str, values))}}}"


def text_array(values: Iterable[object]) -> str:
    """Return the text of a text[] or of an array of anything that is given as text; None is NULL.

    Everything else is quoted, since what is empty, or reads NULL, would mean something else.
    """
    return f"{{{','.join(['NULL' if value is None else _quote(str(value)) for value in values])}}}"


def _quote(text: str) -> str:
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if '"' in text:
        text = text.replace('"', '\\"')
    return f'"{text}"'
