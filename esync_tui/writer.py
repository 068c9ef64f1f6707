"""The one thread that writes: actions are performed in turn, while the polls go on."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from esync.errors import DriverUnavailableError, EsyncError
from esync_tui.messages import ActionFailed
from esync_tui.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.message import Message

logger = logging.getLogger("esync.console")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something to do in the database; `work` returns the message to post."""

    label: str
    work: Callable[[], Message]


class Writer(threading.Thread):
    """Performs jobs until it is stopped. `post` is called from this thread."""

    def __init__(self, *, post: Callable[[Message], object]) -> None:
        super().__init__(name="esync-console-writer", daemon=True)
        self._post = post
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # guards _labels
        self._labels: list[str] = []

    @property
    def busy_with(self) -> str | None:
        """What is under way or waits for its turn; None when nothing does."""
        with self._lock:
            return self._labels[0] if self._labels else None

    def submit(self, job: Job) -> None:
        """Perform a job when its turn comes."""
        with self._lock:
            self._labels.append(job.label)
        self._jobs.put(job)

    def stop(self) -> None:
        """End after the jobs that were submitted; does not wait."""
        self._jobs.put(None)

    def run(self) -> None:
        """Perform jobs until stopped; nothing that a job raises ends this thread."""
        while (job := self._jobs.get()) is not None:
            message = _perform(job)
            with self._lock:
                self._labels.pop(0)
            self._post(message)


def _perform(job: Job) -> Message:
    try:
        return job.work()
    except DriverUnavailableError as exc:
        if exc.is_ambiguous:
            return ActionFailed(f"{job.label}: unknown whether it was done, look (r): {_why(exc)}")
        return ActionFailed(f"{job.label}: not done: {_why(exc)}")
    except EsyncError as exc:
        return ActionFailed(f"{job.label}: {_why(exc)}")
    except Exception as exc:
        logger.exception("%s: failed; it may or may not have been done", job.label)
        return ActionFailed(f"{job.label}: unknown whether it was done, look (r): {_why(exc)}")


def _why(exc: Exception) -> str:
    return shown(str(exc)) or type(exc).__name__
