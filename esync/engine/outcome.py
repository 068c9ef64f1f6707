"""What an attempt ends as: decided from what the handler returned or raised."""

from __future__ import annotations

import inspect
import json
import traceback
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from esync.backoff import INTERVAL_LIMIT
from esync.errors import Fail, Retry
from esync.task import Finish, TaskResult, TaskState
from esync.text import TRACEBACK_LIMIT_BYTES, clean

if TYPE_CHECKING:
    from esync.backoff import Backoff
    from esync.task import Claim

_STATES = {
    TaskResult.SUCCESS: TaskState.DONE,
    TaskResult.PERMANENT_FAILURE: TaskState.FAILED,
    TaskResult.RETRY_FAILURE: TaskState.RETRY,
}
_PAIR = 2
_GROUPS_LIMIT = 100
"""Groups in groups that are looked through; one may hold itself."""
_FRAMES = 20
"""Frames of a traceback that are formatted, counted from where it was raised."""


class Outcome(NamedTuple):
    """How an attempt ended, before the limits of its runner are applied."""

    state: TaskState
    message: str = ""
    after: object = None
    """The delay that the handler asked for, unchecked."""
    traceback: str | None = None


SUCCESS = Outcome(TaskState.DONE)


def judge_result(result: object) -> Outcome:
    """Return the outcome for what a handler returned."""
    if result is None:
        return SUCCESS
    # Even isinstance() runs code of the object: a hostile one ends its own task only.
    try:
        outcome = _judge(result)
    except BaseException:  # noqa: BLE001 - see above
        outcome = None
    if outcome is None:
        _close(result)
        return Outcome(TaskState.FAILED, f"bad result: {type(result).__name__}")
    return outcome


def judge_error(exc: BaseException) -> Outcome:
    """Return the outcome for what a handler raised, whatever it is."""
    first, is_only = _first_of(exc)
    if is_only:
        exc = first
    if isinstance(exc, Fail):
        return Outcome(TaskState.FAILED, _text(exc) or "Fail", traceback=_traceback(exc))
    if isinstance(exc, Retry):
        message = _text(exc) or "Retry"
        return Outcome(TaskState.RETRY, message, after=exc.after, traceback=_traceback(exc))
    message = _named(exc) if first is exc else f"{_named(exc)}; the first is {_named(first)}"
    return Outcome(TaskState.RETRY, message, traceback=_traceback(first))


def timed_out(seconds: float) -> Outcome:
    """Return the outcome of an attempt that exceeded its timeout."""
    return Outcome(TaskState.RETRY, f"timed out after {seconds:g} s")


def finish(
    outcome: Outcome,
    claim: Claim,
    *,
    backoff: Backoff,
    max_attempts: int | None,
    seconds: float,
    worker: str,
) -> Finish:
    """Return what is to be recorded: the outcome within the limits of its runner."""
    state, message, after, trace = outcome
    if state is TaskState.DONE:
        text = clean(message) if message else ""
        return Finish(
            task_id=claim.task_id, attempt=claim.attempt, state=TaskState.DONE, message=text
        )
    if state is TaskState.RETRY and max_attempts is not None and claim.tries + 1 >= max_attempts:
        state = TaskState.FAILED
    message = clean(message)
    return Finish(
        task_id=claim.task_id,
        attempt=claim.attempt,
        state=state,
        message=message,
        delay=_delay(after, claim, backoff=backoff) if state is TaskState.RETRY else 0.0,
        error=_error(claim, state, message, seconds=seconds, trace=trace, worker=worker),
    )


def plain_finish(claim: Claim, state: TaskState, *, backoff: Backoff) -> Finish:
    """Return what is recorded when an outcome cannot be described or is refused."""
    return Finish(
        task_id=claim.task_id,
        attempt=claim.attempt,
        state=state,
        message="(the message could not be stored)",
        delay=backoff.interval if state is TaskState.RETRY else 0.0,
    )


def own_delay(after: object) -> float | None:
    """Return the seconds a handler asked for; None if they are no sensible delay."""
    if isinstance(after, timedelta):
        after = after.total_seconds()
    if isinstance(after, bool) or not isinstance(after, int | float):
        return None
    # NaN compares false with everything.
    return float(after) if 0 <= after <= INTERVAL_LIMIT else None


def _first_of(exc: BaseException) -> tuple[BaseException, bool]:
    """Return the first error in a group, as asyncio.TaskGroup makes of any, and whether it is all.

    Of what is no group, itself.
    """
    first, is_only = exc, True
    with suppress(BaseException):  # of a group that is somebody's own, whatever that does
        for _ in range(_GROUPS_LIMIT):
            if not isinstance(first, BaseExceptionGroup):
                break
            is_only &= len(first.exceptions) == 1
            first = first.exceptions[0]
    return first, is_only


def _named(exc: BaseException) -> str:
    name, text = type(exc).__name__, _text(exc)
    return f"{name}: {text}" if text else name


def _delay(after: object, claim: Claim, *, backoff: Backoff) -> float:
    own = None if after is None else own_delay(after)
    return backoff.delay(claim.tries + 1) if own is None else own


def _judge(result: object) -> Outcome | None:
    if isinstance(result, TaskResult):  # before str, which it is as well
        return Outcome(_STATES[result])
    if isinstance(result, str):
        return Outcome(TaskState.DONE, _plain(result))
    if isinstance(result, tuple) and len(result) == _PAIR:
        verdict, message = result
        if isinstance(verdict, TaskResult) and (message is None or isinstance(message, str)):
            return Outcome(_STATES[verdict], _plain(message) if message is not None else "")
    return None


def _plain(text: str) -> str:
    """Return the characters as an exact str: a subclass may override everything else."""
    return str.__str__(text)


def _close(result: object) -> None:
    """Close a coroutine that nobody awaits, so that Python does not warn of it."""
    with suppress(BaseException):
        if inspect.iscoroutine(result):
            result.close()


def _text(exc: BaseException) -> str:
    """Return the text of an exception; its __str__ may do anything."""
    try:
        return clean(str(exc))
    except BaseException:  # noqa: BLE001 - the task fails, the worker goes on
        return f"<unprintable {type(exc).__name__}>"


def _traceback(exc: BaseException) -> str | None:
    """Return the end of the traceback, with that of the direct cause; chains may be endless."""
    try:
        earlier = exc.__cause__ or exc.__context__
        parts = [_format(one) for one in (earlier, exc) if one is not None]
    except BaseException:  # noqa: BLE001 - formatting runs foreign code and may lack memory
        return None
    text = "\n".join(parts)
    if len(text) > TRACEBACK_LIMIT_BYTES:
        text = "…" + text[-(TRACEBACK_LIMIT_BYTES - 3) :]
    return clean(text, limit_bytes=TRACEBACK_LIMIT_BYTES)


def _format(exc: BaseException) -> str:
    if isinstance(exc, BaseExceptionGroup):  # what is in it may be much, or itself
        return "".join([*traceback.format_tb(exc.__traceback__, -_FRAMES), _named(exc)])
    lines = traceback.format_exception(type(exc), exc, exc.__traceback__, -_FRAMES, chain=False)
    return "".join(lines)


def _error(
    claim: Claim,
    state: TaskState,
    message: str,
    *,
    seconds: float,
    trace: str | None,
    worker: str,
) -> str:
    entry = {
        "attempt": claim.attempt,
        "outcome": state.value,
        "message": clean(message, limit_bytes=TRACEBACK_LIMIT_BYTES),
        "seconds": round(seconds, 6),
        "worker": worker,
    }
    if trace is not None:
        entry["traceback"] = trace
    return json.dumps(entry)
