"""The runner side of PostgresDriver: the statements that perform tasks."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from esync.driver import POP_LIMIT, STREAM_REST_SECONDS, Look, Place, Popped, Rescued
from esync.errors import DriverError, DriverUnavailableError, WorkerGoneError
from esync.postgres.arrays import number_array, text_array, uuid_array
from esync.postgres.faults import LOCK_TIMEOUT
from esync.postgres.listener import PostgresListener
from esync.postgres.migrate import require_schema
from esync.postgres.retry import again
from esync.postgres.sleepers import Sleepers
from esync.postgres.store import Store
from esync.task import Claim

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from psycopg.rows import TupleRow

    from esync.driver import Listener, MinuteCount, RunnerInfo, WorkerInfo
    from esync.postgres.link import Call
    from esync.task import Finish, Release

log = logging.getLogger("esync.postgres")

POP_BUDGET = 400
"""Requests that a first pop supersedes beside those it claims, or ten of each key."""
_BUDGET_SECONDS = 0.012
"""The pops after it supersede as many as take so long: the other keys of the runner wait for it."""
_LEAST_BUDGET = 200
_MOST_BUDGET = 2000

RESCUE_LIMIT = 5000
"""Tasks that one rescue gives back at most."""

_BATCH = 500
_FORGET_COUNTS_SECONDS = 3600.0
_BEGINNING = Place(-1, "-infinity", 0)
"""Before every task: no priority is that low."""
_HELD = Popped(claims=(), is_exhausted=False, is_held=True)
"""Somebody holds the runner's or the stream's lock: nothing was seen."""


class PostgresRunner(Store):
    """Claims, finishes, releases and rescues tasks; keeps the worker's presence."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._counts_forgotten_at = time.monotonic()
        self._budget = POP_BUDGET
        self._sleepers = Sleepers()

    def register(self, worker: WorkerInfo, runners: Sequence[RunnerInfo]) -> None:
        """Enter a worker and its names; raise SchemaError when the schema does not fit."""
        runners = sorted(runners, key=lambda runner: runner.name)
        names = [runner.name for runner in runners]
        with self._transaction("beat") as conn:
            require_schema(conn, self.names)
            self._execute(
                conn,
                "register_worker",
                {
                    "worker_id": worker.worker_id,
                    "host": worker.host,
                    "pid": worker.pid,
                    "names": names,
                    "name_slots": [runner.slots for runner in runners],
                    "slots": worker.slots,
                    "lease": worker.lease,
                    "version": worker.version,
                },
            )
            self._execute(
                conn,
                "register_runners",
                {
                    "names": names,
                    "limits": [runner.limit for runner in runners],
                    "streams": [runner.stream for runner in runners],
                },
            )

    def beat(self, worker_id: UUID, *, names: Collection[str]) -> bool:
        """Renew the worker's lease and the names' last_seen; False when its row is gone."""
        params = {"worker_id": worker_id, "names": list(names)}
        has_row = bool(self._rows("beat", "beat", params))
        if not has_row:
            self._sleepers.forget(worker_id)
        return has_row

    def leave(self, worker_id: UUID, *, is_running: bool = False) -> None:
        """Take the worker out; with handlers still running, mark it leaving instead."""
        self._sleepers.forget(worker_id)
        verb = "leave_running" if is_running else "leave"
        self._rows("beat", verb, {"worker_id": worker_id, "channel": self.names.channel})

    def rescue(
        self, *, max_crashes: int, sweep: bool = True, worker_id: UUID | None = None
    ) -> Rescued:
        """Give back the tasks of workers whose lease ran out, and of legacy processors.

        Also ends the sessions of processes that are stopped, which would keep runners from others.
        """
        params = {
            "max_crashes": max_crashes,
            "limit": RESCUE_LIMIT,
            "sweep": sweep,
            "worker_id": worker_id,
            "channel": self.names.channel,
        }
        frozen, ((workers, retried, failed, _),) = self._lane("pop").exchange(
            self._call("list_frozen", {}), self._call("rescue", params)
        )
        for (pid,) in frozen:
            self._rows("pop", "end_session", {"pid": pid})
            log.warning("rescue: session %d ended: its process reads nothing, is it stopped?", pid)
        return Rescued(workers, retried, failed)

    def cancel_unknown(self, *, grace: float, forget_after: float) -> Mapping[str, int]:
        """Cancel due tasks of names that no worker knows; return how many of each name."""
        unknown = self._rows("pop", "unknown_names", {"forget_after": forget_after})
        counts = {}
        for (name,) in unknown:
            params = {"name": name, "grace": grace, "forget_after": forget_after}
            if count := again(partial(self._cancel_unknown, params)):
                counts[name] = count
        return counts

    def pop(
        self,
        name: str,
        *,
        worker_id: UUID,
        count: int,
        limit: int | None = None,
        stream: str | None = None,
        skip_keys: Collection[str] = (),
        suspects: bool = False,
        after: Place | None = None,
    ) -> Popped:
        """Claim up to `count` tasks of a name, the newest due request of each key."""
        begin = after or _BEGINNING
        params = {
            "name": name,
            "worker_id": worker_id,
            "count": min(count, POP_LIMIT),
            "limit": limit,
            "stream": stream,
            "skip_keys": list(skip_keys),
            "suspects": suspects,
            "budget": self._budget,
            "after_priority": begin.priority,
            "after_due": begin.do_after,
            "after_seq": begin.seq,
        }
        began = time.monotonic()
        try:
            rows = again(lambda: self._pop(params))
        except DriverUnavailableError as exc:
            if getattr(exc.__cause__, "sqlstate", None) == LOCK_TIMEOUT:
                return _HELD
            raise
        if rows is None:
            return _HELD
        try:
            popped = _popped(rows, worker_id=worker_id)
        except WorkerGoneError:
            self._sleepers.forget(worker_id)
            raise
        if popped.superseded >= self._budget - 1:
            self._adapt_budget(time.monotonic() - began)
        return popped

    def finish(self, finishes: Sequence[Finish], *, worker_id: UUID) -> set[UUID]:
        """Record outcomes in one statement; return the ids recorded, now or by an earlier call."""
        params = {
            "worker_id": worker_id,
            "ids": uuid_array([finish.task_id for finish in finishes]),
            "attempts": number_array([finish.attempt for finish in finishes]),
            "states": text_array([finish.state for finish in finishes]),
            "messages": text_array([finish.message for finish in finishes]),
            "delays": number_array([finish.delay for finish in finishes]),
            "errors": text_array([finish.error for finish in finishes]),
        }
        recorded = {row[0] for row in again(lambda: self._rows("finish", "finish", params))}
        if len(recorded) < len(finishes):
            recorded.update(self._recorded(params))
        return recorded

    def release(self, releases: Sequence[Release], *, worker_id: UUID) -> set[UUID]:
        """Give back claims that were never started; return the ids given back."""
        params = {
            "worker_id": worker_id,
            "ids": uuid_array([release.task_id for release in releases]),
            "attempts": number_array([release.attempt for release in releases]),
        }
        rows = again(lambda: self._rows("finish", "release", params))
        if rows:
            names = sorted({row[1] for row in rows})
            self._rows("finish", "notify", {"channel": self.names.channel, "names": names})
        return {row[0] for row in rows}

    def look(
        self,
        names: Collection[str],
        *,
        worker_id: UUID,
        busy: Collection[str] = (),
        due_within: float | None = None,
    ) -> Look:
        """Probe all names of a worker at once, including what operators asked for."""
        params = {
            "names": list(names),
            "busy": [name in busy for name in names],
            "worker_id": worker_id,
            "due_within": due_within,
        }
        rows = self._rows("pop", "look", params)
        self._settle_sleepers()
        runners = [row for row in rows if row[0] is not None]
        waiting = [seconds for _, is_due, seconds, *_ in runners if seconds and not is_due]
        return Look(
            due=frozenset(
                name for name, is_due, _, is_paused, *_ in runners if is_due and not is_paused
            ),
            next_due=min(waiting, default=None),
            paused=frozenset(row[0] for row in runners if row[3]),
            intervals={row[0]: row[4] for row in runners if row[4] is not None},
            cancels={row[5]: row[6] for row in rows if row[5] is not None},
            has_lost_worker=any(row[7] for row in rows),
            seconds=max(row[8] or 0.0 for row in rows),
        )

    def sleep(self, names: Collection[str], *, worker_id: UUID) -> None:
        """Let runners sleep: inserts of their names send a wake-up from now on.

        Of more than 256 names some are not woken, nor any while the connection is being replaced:
        the next look tells of their tasks.
        """
        if self._listens:
            self._sleepers.add(names, worker_id)
            self._settle_sleepers()

    def wake(self, names: Collection[str], *, worker_id: UUID) -> None:
        """Take runners out of the sleepers."""
        self._sleepers.discard(names, worker_id)
        self._settle_sleepers()

    def listen(self) -> Listener | None:
        """Open a source of wake-ups; None when there is none and polling must do."""
        if not self._listens:
            return None
        return PostgresListener(self._connect("listen"), channel=self.names.channel)

    def report(self, task_id: UUID, *, attempt: int, worker_id: UUID, message: str) -> None:
        """Show a running attempt's progress as its message; dropped if the lease is lost."""
        params = {
            "task_id": task_id,
            "attempt": attempt,
            "worker_id": worker_id,
            "message": message,
        }
        self._rows("finish", "report", params)

    def count(self, counts: Sequence[MinuteCount], *, worker_id: UUID) -> None:
        """Add to the counts of the current minute; drop those of long ago once an hour."""
        params = {
            "worker_id": worker_id,
            "names": [count.name for count in counts],
            "done": [count.done for count in counts],
            "failed": [count.failed for count in counts],
            "retried": [count.retried for count in counts],
            "cancelled": [count.cancelled for count in counts],
            "superseded": [count.superseded for count in counts],
            "run_seconds": [count.run_seconds for count in counts],
        }
        self._rows("finish", "count", params)
        if time.monotonic() - self._counts_forgotten_at > _FORGET_COUNTS_SECONDS:
            self._counts_forgotten_at = time.monotonic()
            self._rows("finish", "forget_counts", {})

    def begin_action(
        self, name: str, *, worker_id: UUID, interval: float, stream: str | None
    ) -> float | None:
        """Claim the next run of a scheduled action; see RunnerDriver."""
        params = {"name": name, "worker_id": worker_id, "interval": interval, "stream": stream}
        self._rows("finish", "enter_action", params)
        with self._transaction("finish") as conn:
            if stream is not None:
                lock = self.names.lock("stream", stream)
                self._execute(conn, "lock", {"lock": lock})
            row = self._execute(conn, "begin_action", params).fetchone()
        is_begun, seconds = row or (False, interval)
        if is_begun:
            return None
        # Due, but running elsewhere or its stream is taken: ask again soon.
        return float(seconds) or min(interval, 1.0)

    def end_action(self, name: str, *, worker_id: UUID, error: str | None) -> None:
        """Record that the run claimed by `begin_action` has ended, and with which error."""
        params = {"name": name, "worker_id": worker_id, "error": error}
        self._rows("finish", "end_action", {**params, "rest": STREAM_REST_SECONDS})

    def _settle_sleepers(self) -> None:
        """Let inserts know who sleeps, if anything about that has changed.

        Wake-ups are a hint: if that fails nothing else must, and the next look tries again.
        """
        lane = self._lane("pop")
        try:
            self._sleepers.settle(lane, self._sleep_calls)
        except DriverError as exc:
            # Which locks were taken is unknown. They end with the connection.
            lane.close()
            log.warning("sleepers: %s; inserts wake nobody until the next look", exc)

    def _sleep_calls(self, asleep: list[str], awake: list[str]) -> list[Call]:
        space = self.names.sleep_space
        return [
            self._call(verb, {"names": names, "space": space})
            for verb, names in (("wake", awake), ("sleep", asleep))
        ]

    def _recorded(self, params: Mapping[str, Any]) -> list[UUID]:
        """Return the outcomes that an earlier finish had written."""
        try:
            return [row[0] for row in self._rows("finish", "recorded", params)]
        except DriverUnavailableError as exc:
            # The outcomes of this call are committed, whatever became of this question.
            raise DriverUnavailableError(str(exc), is_ambiguous=True) from exc

    def _pop(self, params: Mapping[str, Any]) -> list[TupleRow] | None:
        """Take the locks, then pop, in one round trip and one transaction; None if they are held.

        The statements of a pipeline share an implicit transaction until its end, and each has a
        snapshot of its own: the pop's is younger than every earlier pop of the runner.
        """
        stream = params["stream"]
        locks = {
            "lock": self.names.lock("runner", params["name"]),
            "stream_lock": None if stream is None else self.names.lock("stream", stream),
        }
        ((has_locks,),), rows = self._lane("pop").exchange(
            self._call("lock_briefly", locks), self._call("pop", params)
        )
        return rows if has_locks else None

    def _adapt_budget(self, seconds: float) -> None:
        """Learn from a pop that used up its budget; it may have waited for a lock, too."""
        factor = _BUDGET_SECONDS / max(seconds, 0.001)
        budget = int(self._budget * min(max(factor, 0.8), 1.25))
        self._budget = min(max(budget, _LEAST_BUDGET), _MOST_BUDGET)

    def _cancel_unknown(self, params: Mapping[str, Any]) -> int:
        with self._transaction("pop") as conn:
            lock = self.names.lock("runner", params["name"])
            self._execute(conn, "lock", {"lock": lock})
            return self._execute(conn, "cancel_unknown", params).rowcount


def _popped(rows: list[TupleRow], *, worker_id: UUID) -> Popped:
    is_alive, superseded, blocked, is_exhausted, suspects, is_limited = rows[0][:6]
    place = rows[0][6:9]
    if not is_alive:
        raise WorkerGoneError(f"worker {worker_id}: no live row; it must register again")
    claims = tuple([Claim._make(row[9:17]) for row in rows[1:]])
    return Popped(
        claims=claims,
        superseded=superseded,
        blocked=tuple(blocked or ()),
        is_exhausted=is_exhausted,
        suspects=suspects,
        is_limited=is_limited,
        place=None if place[0] is None else Place._make(place),
    )
