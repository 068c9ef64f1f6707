"""What the two services of the demo hold: records with a key and a version, in collections."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from esync.errors import TaskValueError
from esync.task import check_key, hash_key

KEY_LIMIT = 500
"""Characters of a record's key: what fits an index of PostgreSQL and the line of a request."""


class Collection(StrEnum):
    """The kinds of records; the words of the target's paths."""

    CUSTOMERS = "customers"
    INVOICES = "invoices"

    @property
    def table(self) -> str:
        """The table of the source that holds them."""
        return self.value.removesuffix("s")

    @property
    def task_name(self) -> str:
        """The task name that brings one of them to the target."""
        return "customer.sync" if self is Collection.CUSTOMERS else "invoice.push"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of either side."""

    key: str
    version: int
    """Grows with every change of any record of the source; never used twice."""
    fields: dict[str, Any]


def to_task_key(key: str) -> str:
    """Return the task key of a record's key: itself if it may be one, else its SHA-256.

    The source's trigger follows the same rule; a test holds them together.
    """
    try:
        return check_key(key)
    except TaskValueError:
        return hash_key(key)
