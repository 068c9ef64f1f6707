"""The one thread that reads: it polls the queue and hands over the latest picture.

Reading costs at most one percent of a core of the server: after reading for t seconds the poller
rests for 100 t, and never less than its interval. What an operator asks for is read at once.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from esync.errors import EsyncError
from esync.snapshot import Count
from esync_tui.text import shown
from esync_tui.views import view_detail, view_overview, view_page

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from esync.driver import ConsoleDriver
    from esync.snapshot import Cursor, Filter
    from esync_tui.views import DetailView, OverviewView, PageView

logger = logging.getLogger("esync.console")

PAGE = 200
"""Tasks on one page of a list."""

INTERVAL = 2.0
"""Seconds between two polls, unless the database needs longer."""

DUTY = 100.0
"""Seconds of rest for every second that the database worked for the console."""

COUNT_SECONDS = 10.0
COUNT_DUTY = 10 * DUTY
"""How many tasks match is counted again at that age, or at so many times what counting took."""
COUNT_LIMIT = 0.1
"""Seconds beyond which it is not counted again: polls would be put off for too long."""

RETRY_DELAYS = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before each further try while the database is away; the last one goes on."""

MATCH_CAP = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the current screen needs beside the overview."""

    where: Filter | None = None
    """List these tasks."""
    after: Cursor | None = None
    """From here on."""
    task_id: UUID | None = None
    """Everything about this task."""
    minutes: int = 30
    """Minutes of counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Whether the database answers."""

    error: str | None = None
    """Why it does not; None while it does."""
    failures: int = 0
    """Polls that have failed in a row."""
    next_at: float = 0.0
    """Monotonic time of the next poll."""
    interval: float = INTERVAL
    """Seconds between the last poll and the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The latest that is known. Parts that could not be read again keep what they last were."""

    signal: Signal
    read_at: float | None = None
    """Monotonic time at which the overview was last read."""
    overview: OverviewView | None = None
    page: PageView | None = None
    page_error: str | None = None
    matched: Count | None = None
    """How many tasks match the filter of the page; None while unknown."""
    detail: DetailView | None = None
    gone_id: UUID | None = None
    """The task that was wanted and does not exist (any more)."""

    def matched_by(self, where: Filter) -> Count | None:
        """Return how many tasks match a filter; None until a page of it was read."""
        return self.matched if self.page is not None and self.page.where == where else None


class Poller(threading.Thread):
    """Reads until it is stopped. `on_picture` is called from this thread, once until `take`."""

    def __init__(
        self,
        driver: ConsoleDriver,
        *,
        on_picture: Callable[[], object],
        interval: float = INTERVAL,
    ) -> None:
        super().__init__(name="esync-console-poller", daemon=True)
        self._driver = driver
        self._on_picture = on_picture
        self._interval = interval
        self._wake = threading.Event()
        self._lock = threading.Lock()  # guards the five fields below it
        self._wanted = Wanted()
        self._is_refresh_asked = True
        self._is_stopping = False
        self._picture = Picture(signal=Signal(interval=interval))
        self._is_announced = False
        # Only this thread touches what follows.
        self._read: Wanted = Wanted()
        self._counted: Filter | None = None
        self._count_at = float("inf")
        self._cost = 0.0
        self._overhead = float("inf")

    def want(self, wanted: Wanted) -> None:
        """Read something else from now on, at once if it has changed; the latest wish counts."""
        with self._lock:
            self._wanted = wanted
        self._wake.set()

    def refresh(self) -> None:
        """Read everything now."""
        with self._lock:
            self._is_refresh_asked = True
        self._wake.set()

    def stop(self) -> None:
        """End soon; does not wait, and a read that hangs in the database does not matter."""
        with self._lock:
            self._is_stopping = True
        self._wake.set()

    def take(self) -> Picture:
        """Return the latest picture; the next one is announced again."""
        with self._lock:
            self._is_announced = False
            return self._picture

    def run(self) -> None:
        """Poll until stopped; nothing that a driver raises ends this thread."""
        while not self._is_stopping:
            try:
                self._poll()
            except Exception as exc:
                logger.exception("poll: failed; trying again")
                self._lose(exc)
            self._wake.wait(max(0.0, self._picture.signal.next_at - time.monotonic()))
            self._wake.clear()

    def _poll(self) -> None:
        with self._lock:
            wanted, is_asked = self._wanted, self._is_refresh_asked
            self._is_refresh_asked = False
        before, self._read = self._read, wanted
        is_due = is_asked or time.monotonic() >= self._picture.signal.next_at
        if is_due:
            self._cost = 0.0
            if not self._read_overview(wanted):
                return
        is_new_list = (wanted.where, wanted.after) != (before.where, before.after)
        if wanted.where is not None and (is_due or is_new_list):
            is_new = is_asked or wanted.where != self._counted
            self._read_page(wanted, is_count_due=is_new or time.monotonic() >= self._count_at)
        if wanted.task_id is not None and (is_due or wanted.task_id != before.task_id):
            self._read_detail(wanted.task_id)
        if is_due:
            self._rest()

    def _read_overview(self, wanted: Wanted) -> bool:
        """Read the overview; a database that cannot even tell that is away."""
        started = time.monotonic()
        try:
            overview = self._driver.get_overview(minutes=wanted.minutes)
        except EsyncError as exc:
            self._lose(exc)
            return False
        took = time.monotonic() - started
        self._overhead = min(self._overhead, max(0.0, took - overview.took_seconds))
        self._cost += overview.took_seconds
        signal = Signal(next_at=time.monotonic() + self._interval, interval=self._interval)
        view = view_overview(overview)
        self._publish(signal=signal, read_at=time.monotonic(), overview=view)
        return True

    def _read_page(self, wanted: Wanted, *, is_count_due: bool) -> None:
        where = wanted.where
        if where is None:
            return

        def read() -> None:
            page = self._driver.list_tasks(where, limit=PAGE, after=wanted.after)
            view = view_page(page, where=where, after=wanted.after)
            if wanted.after is None and page.next is None and not page.unread:
                self._counted = where
                self._publish(page=view, page_error=None, matched=Count(len(page.rows)))
            elif is_count_due:
                is_same, self._counted = where == self._counted, where
                kept = {} if is_same else {"matched": None}
                self._publish(page=view, page_error=None, **kept)
                self._count(where)
            else:
                self._publish(page=view, page_error=None)

        self._charge(read)

    def _count(self, where: Filter) -> None:
        """Count what matches, and again later unless that took long."""
        started = time.monotonic()
        self._count_at = float("inf")
        self._publish(matched=self._driver.count_tasks(where, cap=MATCH_CAP))
        now = time.monotonic()
        if (took := now - started) <= COUNT_LIMIT:
            self._count_at = now + max(COUNT_SECONDS, COUNT_DUTY * took)

    def _read_detail(self, task_id: UUID) -> None:
        def read() -> None:
            detail = self._driver.get_task(task_id)
            if detail is None:
                self._publish(gone_id=task_id)
            else:
                self._publish(detail=view_detail(detail), gone_id=None)

        self._charge(read)

    def _charge(self, read: Callable[[], None]) -> None:
        """Read something and add what it cost; its failure is told beside the list.

        The cost is the time it took, less what a call costs without the database's own time.
        """
        started = time.monotonic()
        try:
            read()
        except EsyncError as exc:
            # Whether the database is away altogether is for the next overview to tell.
            self._publish(page_error=_why(exc))
        overhead = 0.0 if self._overhead == float("inf") else self._overhead
        self._cost += max(0.0, time.monotonic() - started - overhead)

    def _rest(self) -> None:
        interval = max(self._interval, DUTY * self._cost)
        self._publish(signal=Signal(next_at=time.monotonic() + interval, interval=interval))

    def _lose(self, exc: Exception) -> None:
        failures = self._picture.signal.failures + 1
        delay = RETRY_DELAYS[min(failures, len(RETRY_DELAYS)) - 1]
        delay *= random.uniform(0.9, 1.1)  # noqa: S311 - many consoles must not come back at once
        self._publish(
            signal=Signal(
                error=_why(exc),
                failures=failures,
                next_at=time.monotonic() + delay,
                interval=delay,
            )
        )

    def _publish(self, **parts: object) -> None:
        with self._lock:
            self._picture = replace(self._picture, **parts)  # type: ignore[arg-type]
            is_first, self._is_announced = not self._is_announced, True
        if is_first:
            self._on_picture()


def _why(exc: Exception) -> str:
    return shown(str(exc)) or type(exc).__name__
