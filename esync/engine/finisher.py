"""Records outcomes: at once when idle, and otherwise all that gathered since the last write."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from esync.engine.outcome import plain_finish
from esync.engine.service import AWAY, Pauses, Service, pause
from esync.errors import (
    DriverError,
    DriverUnavailableError,
    EsyncError,
    LeaseLostError,
    OutcomeUnknownError,
)
from esync.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from uuid import UUID

    from esync.driver import RunnerDriver
    from esync.engine.held import Ended
    from esync.engine.reporter import Reporter
    from esync.engine.runner import Runner

log = logging.getLogger("esync.engine")

BATCH_LIMIT = 1000
_ENOUGH = 250
"""So many outcomes are written without letting more gather."""
_GATHER_RATIO = 10
"""Outcomes gather for so many times as long as the last write took: where many workers share a
database, few writes of many rows cost it far less than many writes of one."""
_GATHER_LIMIT_SECONDS = 0.1


@dataclass(slots=True)
class _Batch:
    """Outcomes that are written together; kept until the store has answered."""

    items: list[Ended]
    is_ambiguous: bool = False
    """A write failed after it was sent: it may have been done, and rows may have moved on."""
    refused: deque[Ended] = field(default_factory=deque)
    """What is written one by one, since together it was refused."""


class Finisher(Service):
    """One thread that writes; any thread may `put`."""

    def __init__(
        self,
        driver: RunnerDriver,
        *,
        reporter: Reporter,
        report: Callable[[EsyncError], None],
        prod: Callable[[Runner], None],
        on_outage: Callable[[DriverError], None],
    ) -> None:
        """`prod` is told of runners that may pop something now that attempts have ended."""
        super().__init__("finisher", on_outage=on_outage)
        self._driver = driver
        self._reporter = reporter
        self._report = report
        self._prod = prod
        self._queue: deque[Ended] = deque()
        self._batch: _Batch | None = None
        self._flush_until = math.inf
        self._gathers_until = 0.0
        self._is_gathering = False
        self._is_urgent = False

    def put(self, ended: Ended) -> None:
        """Take an outcome to record."""
        self._queue.append(ended)
        if ended.runner.awaits_end(ended.held.claim.key):
            self._is_urgent = True
        if not self._is_gathering or self._is_urgent or len(self._queue) >= _ENOUGH:
            self.prod()

    def tick(self) -> None:
        """Record what gathered, or wait for something."""
        self._wake.clear()
        self._is_gathering = False
        if self._batch is None and not self._queue:
            if not self.is_stopping:
                self.wait(None)
            return
        if self._gather():
            return
        self._is_urgent = False
        self._batch = self._batch or self._take()
        if self._batch is not None:
            began = time.monotonic()
            self._write(self._batch)
            self._batch = None
            now = time.monotonic()
            gathering = min(_GATHER_RATIO * (now - began), _GATHER_LIMIT_SECONDS)
            self._gathers_until = now + gathering

    def flush(self, seconds: float) -> bool:
        """Record what is left and stop; return whether everything was recorded in time."""
        self._flush_until = time.monotonic() + seconds
        has_ended = self.stop(timeout=seconds + 1)
        return has_ended and not self._queue and self._batch is None

    def on_stop(self) -> None:
        """Record what is left, with a few tries and within the time that `flush` gave."""
        pauses = Pauses()
        while self._queue or self._batch:
            try:
                self.tick()
            except AWAY as exc:
                seconds = pauses.next()
                if time.monotonic() + seconds > self._flush_until:
                    log.warning("finisher: %s; the last outcomes were not recorded", exc)
                    return
                pause(seconds)

    def _gather(self) -> bool:
        """Wait for more, if a write now would follow the last one closely; return whether."""
        seconds = self._gathers_until - time.monotonic()
        if self._batch or self.is_stopping or seconds <= 0:
            return False
        # The flag comes before what it waits for is looked at, so that no outcome is missed.
        self._is_gathering = True
        if self._is_urgent or len(self._queue) >= _ENOUGH:
            self._is_gathering = False
            return False
        self.wait(seconds)
        return True

    def _take(self) -> _Batch | None:
        """Return outcomes of one lease, in the order in which they came."""
        items: list[Ended] = []
        queue = self._queue
        try:
            items.append(queue.popleft())
            lease = items[0].held.lease
            while len(items) < BATCH_LIMIT and queue[0].held.lease is lease:
                items.append(queue.popleft())
        except IndexError:
            pass
        return _Batch(items) if items else None

    def _write(self, batch: _Batch) -> None:
        """Write a batch; raise when the store is away, and then the batch is kept."""
        if not batch.refused:
            try:
                self._write_items(batch, batch.items)
            except AWAY:
                raise
            except DriverError as exc:
                log.warning("finisher: %s; writing %d outcomes singly", exc, len(batch.items))
                batch.refused.extend(batch.items)
        while batch.refused:
            self._write_singly(batch, batch.refused[0])
            batch.refused.popleft()

    def _write_singly(self, batch: _Batch, ended: Ended) -> None:
        """Write one outcome; one that is refused even with a plain message is given up."""
        plain = plain_finish(ended.held.claim, ended.finish.state, backoff=ended.runner.backoff)
        for finish in (ended.finish, plain):
            try:
                self._write_items(batch, [ended._replace(finish=finish)])
            except AWAY:
                raise
            except DriverError as exc:
                refusal = exc
            else:
                return
        self._report(refusal)
        self._settle([ended], recorded=())

    def _write_items(self, batch: _Batch, items: list[Ended]) -> None:
        worker_id = items[0].held.lease.worker_id
        try:
            recorded = self._driver.finish([one.finish for one in items], worker_id=worker_id)
        except DriverUnavailableError as exc:
            batch.is_ambiguous |= exc.is_ambiguous
            raise
        self._report_missing(batch, items, recorded)
        self._settle(items, recorded=recorded)

    def _report_missing(
        self, batch: _Batch, items: list[Ended], recorded: Collection[UUID]
    ) -> None:
        if len(recorded) == len(items):
            return
        for ended in items:
            task_id = ended.finish.task_id
            if task_id in recorded:
                continue
            error: EsyncError
            if batch.is_ambiguous:
                text = f"task {task_id}: the database was away while its outcome was written, and"
                error = OutcomeUnknownError(f"{text} its row has moved on since", task_id=task_id)
            else:
                text = f"task {task_id}: lease lost, outcome {ended.finish.state} dropped"
                error = LeaseLostError(text, task_id=task_id)
            log.warning("%s", error)
            self._report(error)

    def _settle(self, items: list[Ended], *, recorded: Collection[UUID]) -> None:
        """Let the runners know what is not in flight any more."""
        groups: dict[Runner, list[Ended]] = {}
        for one in items:
            groups.setdefault(one.runner, []).append(one)
        for runner, ended in groups.items():
            for one in ended:
                if runner.in_flight.get(one.finish.task_id) is one.held:
                    del runner.in_flight[one.finish.task_id]
            runner.note_seconds(sum(one.seconds for one in ended), len(ended))
            mine = [one for one in ended if one.finish.task_id in recorded]
            self._reporter.count(runner.name, mine)
            keys = [one.held.claim.key for one in ended]
            if runner.pace.end(keys, retry_at=_retry_at(ended)):
                self._prod(runner)


def _retry_at(ended: list[Ended]) -> float:
    """Return when the first of the attempts is to be tried again; infinite when none is."""
    delays = [one.finish.delay for one in ended if one.finish.state is TaskState.RETRY]
    return time.monotonic() + min(delays) if delays else math.inf
