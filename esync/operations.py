"""The operator side: the one set of actions that the CLI and the console share."""

from __future__ import annotations

import socket
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from esync.errors import (
    DriverUnavailableError,
    StateError,
    TaskNotFoundError,
    TaskValueError,
    TooManyTasksError,
)
from esync.snapshot import ActionResult, ActionVerb, Attribution, Precision
from esync.task import KEY_LIMIT, check_key, check_name, system_user
from esync.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from esync.driver import ConsoleDriver
    from esync.snapshot import Filter, TaskRow

    _Batch = Callable[[Sequence[UUID]], ActionResult]

BATCH = 500
"""Tasks per transaction, so that no action keeps a runner's lock for long."""

DEFAULT_MAXIMUM = 1000
"""Tasks that a bulk action may touch unless its caller allows more."""

_PAGE = 500
_REASON_LIMIT_BYTES = 1024
_LOOK_BACK = 1000
"""Entries of a key that are looked through for its task names."""

_DONE_WORDS = {
    ActionVerb.REQUEUE: "requeued",
    ActionVerb.CANCEL: "cancelled",
    ActionVerb.RUN_NOW: "will run now:",
    ActionVerb.PAUSE: "paused",
    ActionVerb.RESUME: "resumed",
}


class Target(NamedTuple):
    """A task that a bulk action is about to touch, as it was when it was selected."""

    task_id: UUID
    name: str
    key: str
    state: str


class Operations:
    """Everything an operator can do, guarded by state, attributed and audited by the driver.

    Blocks while the database works; may be called from any thread.
    """

    def __init__(self, driver: ConsoleDriver, *, who: str, host: str, via: str) -> None:
        self._driver = driver
        self._who = clean(who, limit_bytes=KEY_LIMIT)
        self._host = clean(host, limit_bytes=KEY_LIMIT)
        self._via = via

    @classmethod
    def of_this_user(cls, driver: ConsoleDriver, *, via: str) -> Operations:
        """Return operations attributed to the user that runs this process."""
        return cls(driver, who=system_user(), host=socket.gethostname(), via=via)

    def requeue(
        self, ids: Sequence[UUID], *, reason: str = "", skip_newer: bool = False
    ) -> ActionResult:
        """Make FAILED, CANCELLED and DONE tasks READY, due now."""
        by = self._by(reason)
        return _in_batches(
            ActionVerb.REQUEUE,
            ids,
            lambda batch: self._driver.requeue(batch, by=by, skip_newer=skip_newer),
        )

    def cancel(self, ids: Sequence[UUID], *, reason: str = "") -> ActionResult:
        """Cancel READY and RETRY tasks; ask the handlers of those IN PROGRESS to stop."""
        by = self._by(reason)
        return _in_batches(ActionVerb.CANCEL, ids, lambda batch: self._driver.cancel(batch, by=by))

    def run_now(self, ids: Sequence[UUID], *, reason: str = "") -> ActionResult:
        """Put READY and RETRY tasks before the oldest due one of their name."""
        by = self._by(reason)
        return _in_batches(
            ActionVerb.RUN_NOW, ids, lambda batch: self._driver.run_now(batch, by=by)
        )

    def pause(
        self, names: Sequence[str], *, reason: str = "", resume_after: float | None = None
    ) -> ActionResult:
        """Pause runners in the whole cluster, until resumed or for so many seconds."""
        checked = [check_name(name) for name in names]
        return self._driver.pause(checked, by=self._by(reason), resume_after=resume_after)

    def resume(self, names: Sequence[str], *, reason: str = "") -> ActionResult:
        """Resume paused runners; names that are not paused are skipped."""
        return self._driver.resume([check_name(name) for name in names], by=self._by(reason))

    def act_on(self, verb: ActionVerb, task: Target | TaskRow, *, reason: str = "") -> ActionResult:
        """Requeue, cancel or run now one task; raise StateError if its state does not allow it."""
        actions = {
            ActionVerb.REQUEUE: self.requeue,
            ActionVerb.CANCEL: self.cancel,
            ActionVerb.RUN_NOW: self.run_now,
        }
        result = actions[verb]([task.task_id], reason=reason)
        if not result.changed and not result.asked:
            why = _sentence(result.skipped[0].reason) if result.skipped else "nothing was changed"
            raise StateError(f"cannot {verb} {task.name} {task.key!r}: {why}")
        return result

    def newest(self, key: str, *, name: str | None = None) -> TaskRow:
        """Return the newest request of a key; raise when there is none, or several names have it.

        The last 1,000 requests of the key are looked through for their names.
        """
        rows = self._driver.find_tasks(
            check_key(key),
            name=None if name is None else check_name(name),
            limit=1 if name is not None else _LOOK_BACK,
        )
        if not rows:
            of_name = "" if name is None else f" of name {name!r}"
            raise TaskNotFoundError(f"no task{of_name} has the key {key!r}")
        names = sorted({row.name for row in rows})
        if len(names) > 1:
            raise TaskValueError(
                f"the key {key!r} is of several names, say which with --name: {', '.join(names)}"
            )
        return rows[0]

    def select(self, where: Filter, *, maximum: int = DEFAULT_MAXIMUM) -> tuple[Target, ...]:
        """Return the tasks that match now; raise TooManyTasksError when there are too many.

        An action on the selection cannot touch tasks that begin to match later, and the driver
        skips those whose state has changed by then.
        """
        count = self._driver.count_tasks(where, cap=maximum + 1)
        if count.value > maximum and count.precision is not Precision.ESTIMATE:
            self._refuse(where, maximum=maximum)
        found: dict[UUID, Target] = {}
        for target in self._matching(where):
            found[target.task_id] = target
            if len(found) > maximum:
                self._refuse(where, maximum=maximum)
        return tuple(found.values())

    def _matching(self, where: Filter) -> Iterator[Target]:
        page = self._driver.list_tasks(where, limit=_PAGE)
        while True:
            if page.unread:
                what = ", ".join(page.unread)
                raise DriverUnavailableError(
                    f"{what}: took too long to be read; nothing was changed"
                )
            for row in page.rows:
                yield Target(row.task_id, row.name, row.key, row.state)
            if page.next is None:
                return
            page = self._driver.list_tasks(where, limit=_PAGE, after=page.next)

    def _refuse(self, where: Filter, *, maximum: int) -> None:
        """Say how many match, as far as that can be counted cheaply."""
        count = self._driver.count_tasks(where, cap=max(10_000, maximum + 1))
        value = max(count.value, maximum + 1)
        exact = "" if count.precision is Precision.EXACT else "at least "
        raise TooManyTasksError(
            f"{exact}{value} tasks match, more than the maximum of {maximum}; nothing was changed",
            matched=value,
            maximum=maximum,
        )

    def _by(self, reason: str) -> Attribution:
        return Attribution(
            who=self._who,
            host=self._host,
            via=self._via,
            reason=clean(reason, limit_bytes=_REASON_LIMIT_BYTES),
        )


def describe(result: ActionResult) -> str:
    """Return one line that says what an action really did: 'requeued 403, skipped 9 (9 running)'.

    It may hold names and reasons from elsewhere: show it through esync.text.visible_line.
    """
    is_on_names = result.verb in (ActionVerb.PAUSE, ActionVerb.RESUME)
    what = ", ".join(result.names) or "nothing" if is_on_names else str(len(result.changed))
    parts = [f"{_DONE_WORDS[result.verb]} {what}"]
    if result.asked:
        is_one = len(result.asked) == 1
        handlers, they = ("handler", "it") if is_one else ("handlers", "they")
        parts.append(
            f"asked {len(result.asked)} running {handlers} to stop ({they} may finish all the same)"
        )
    if result.skipped:
        reasons = Counter(_short(skip.reason) for skip in result.skipped).most_common()
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons)
        parts.append(f"skipped {len(result.skipped)} ({listed})")
    return ", ".join(parts)


def _short(reason: str) -> str:
    """Return a reason as it reads behind a number: 'has a newer request' -> 'newer request'."""
    return reason.removeprefix("is ").removeprefix("has ").removeprefix("a ")


def _sentence(reason: str) -> str:
    """Return a reason as it reads behind a colon: 'is DONE' -> 'it is DONE'."""
    return f"it {reason}" if reason.startswith(("is ", "has ")) else reason


def _in_batches(verb: ActionVerb, ids: Sequence[UUID], act: _Batch) -> ActionResult:
    """Act on at most BATCH tasks per transaction and return the sum of what was done."""
    results: list[ActionResult] = []
    unique = list(dict.fromkeys(ids))
    for start in range(0, len(unique), BATCH):
        try:
            results.append(act(unique[start : start + BATCH]))
        except DriverUnavailableError as exc:
            if not results:
                raise
            # Earlier batches are committed: an error that hid them would claim too little.
            msg = f"{exc}; before that: {describe(_sum(verb, results))}"
            raise DriverUnavailableError(msg, is_ambiguous=exc.is_ambiguous) from exc
    return _sum(verb, results)


def _sum(verb: ActionVerb, results: Sequence[ActionResult]) -> ActionResult:
    return ActionResult(
        verb=verb,
        changed=tuple(task_id for result in results for task_id in result.changed),
        asked=tuple(task_id for result in results for task_id in result.asked),
        names=tuple(dict.fromkeys(name for result in results for name in result.names)),
        skipped=tuple(skip for result in results for skip in result.skipped),
    )
