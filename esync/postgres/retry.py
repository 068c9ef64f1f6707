"""Trying again what lost a race: deadlocks, serialisation, and the index that proves P4."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, TypeVar

from esync.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable

_LOST_RACES = frozenset({"40P01", "40001", "23505"})
_TRIES = 5
_T = TypeVar("_T")


def again(work: Callable[[], _T]) -> _T:
    """Return what `work` returns; repeat it a few times, with jitter, when it lost a race.

    The database has rolled the work back by then, so that repeating it is safe.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            return work()
        except DriverError as exc:
            if attempt == _TRIES or getattr(exc.__cause__, "sqlstate", None) not in _LOST_RACES:
                raise
        threading.Event().wait(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - jitter
    raise AssertionError("unreachable")
