"""The load generator of the demo: a thread that edits rows of the source at a rate."""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg

from esync.errors import EsyncError, SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esync.demo.source import Source
    from esync.task_manager import TaskManager

log = logging.getLogger("esync.demo")

RATE_LIMIT = 1000.0
"""Edits per second."""

_HOT_KEYS = 3
_CATCH_UP = 1.0
"""Seconds of missed edits that are made up for after a pause of the database."""
_WEIGHTS = {"hot": 20, "update": 60, "delete": 4, "insert": 6, "invoice": 10}


class LoadGenerator:
    """Edits customers, three of them much more often than the rest, and adds invoices.

    Values are exchanged between the customers of the same column, so that they stay plausible for
    any CSV file.
    """

    def __init__(
        self,
        source: Source,
        customers: Mapping[str, Mapping[str, Any]],
        *,
        task_manager: TaskManager,
        rate: float,
        seed: int | None = None,
    ) -> None:
        self._rate = check_rate(rate)
        self.edits = 0
        """Edits that were committed."""
        self._source = source
        self._task_manager = task_manager
        self._rng = random.Random(seed)  # noqa: S311 - edits need no secrets
        self._customers = {key: dict(fields) for key, fields in customers.items()}
        self._keys = list(self._customers)
        self._hot = self._rng.sample(self._keys, min(_HOT_KEYS, len(self._keys)))
        self._number = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to edit; does nothing when it has begun before, or at a rate of 0."""
        if self._thread is None and self._rate:
            self._thread = threading.Thread(target=self._run, name="esync-demo-load", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop editing and wait for the last edit; legal before start and more than once."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def edit(self) -> None:
        """Make one edit."""
        (kind,) = self._rng.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))
        match kind:
            case "hot":
                self._update(self._rng.choice(self._hot))
            case "update":
                self._update(self._rng.choice(self._keys))
            case "delete":
                self._delete(self._rng.choice(self._keys))
            case "insert":
                self._insert()
            case _:
                self._invoice()
        self.edits += 1

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            try:
                self.edit()
            except (psycopg.Error, EsyncError) as exc:
                log.warning("load: %s; the edit is left out", type(exc).__name__)
            due = max(due + 1 / self._rate, time.monotonic() - _CATCH_UP)

    def _update(self, key: str) -> None:
        """Give one field the value that another customer has, or mark it when that is the same."""
        fields = dict(self._customers.get(key) or self._fields())
        if fields:
            column = self._rng.choice(list(fields))
            fields[column] = _other(fields[column], self._fields().get(column, ""))
        self._source.write_customer(key, fields)
        self._customers[key] = fields

    def _delete(self, key: str) -> None:
        self._source.delete_customer(key)
        if len(self._customers) > 1:
            self._customers.pop(key, None)

    def _insert(self) -> None:
        """Bring a deleted customer back, or make a new one in the likeness of another."""
        gone = next((key for key in self._keys if key not in self._customers), None)
        key = gone or self._new_key()
        fields = self._fields()
        self._source.write_customer(key, fields)
        self._customers[key] = fields
        if gone is None:
            self._keys.append(key)

    def _invoice(self) -> None:
        self._number += 1
        fields = {
            "customer": self._rng.choice(self._keys),
            "amount_cents": self._rng.randrange(100, 1_000_000),
        }
        self._source.add_invoice(f"INV-{self._number:06}", fields, task_manager=self._task_manager)

    def _new_key(self) -> str:
        number = len(self._keys) + 1
        while (key := f"new-{number}") in self._customers:
            number += 1
        return key

    def _fields(self) -> dict[str, Any]:
        """Return a copy of some customer's fields."""
        return dict(self._customers[self._rng.choice(list(self._customers))])


def check_rate(rate: float) -> float:
    """Return the rate if the load generator can keep it, else raise SettingError."""
    if not 0 <= rate <= RATE_LIMIT:
        raise SettingError(f"rate must be 0 to {RATE_LIMIT:g} edits per second, got {rate:g}")
    return rate


def _other(value: Any, offered: Any) -> Any:
    """Return the value that is offered, or the old one with its mark turned over if they agree."""
    if offered != value:
        return offered
    text = str(value)
    return text.removesuffix("*") if text.endswith("*") else f"{text}*"
