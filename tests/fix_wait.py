"""Waiting for a fact instead of for a time."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LOOK_AGAIN_SECONDS = 0.01


def wait_until(condition: Callable[[], T], timeout: float = 10, *, what: str = "") -> T:
    """Return the first true value of the condition; fail the test if none comes in time."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            told = what or getattr(condition, "__name__", "the condition")
            msg = f"{told} did not come true in {timeout:g} seconds (last value {value!r})"
            raise AssertionError(msg)
        threading.Event().wait(LOOK_AGAIN_SECONDS)
    return value
