"""The handlers of the demo: each brings one record of the source to the target."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from esync.demo.record import Collection
from esync.errors import Fail, Retry
from esync.text import visible_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esync.demo.source import Source
    from esync.demo.target_client import Answer, TargetClient

log = logging.getLogger("esync.demo")


class RecordTask(Protocol):
    """What these handlers want to know of a task."""

    @property
    def key(self) -> str:
        """The task key."""

    @property
    def data(self) -> Mapping[str, Any]:
        """The payload."""


class Pusher:
    """Makes the target's record what the source's is now; any thread may call."""

    def __init__(self, source: Source, target: TargetClient) -> None:
        self._source = source
        self._target = target

    def push(self, collection: Collection, key: str) -> str:
        """Read the current record and send it, or delete what is gone; return what was done.

        The record is read here, not taken from the task: the newest request is the one that is
        performed, and what it finds is at least as new as itself.
        """
        record = self._source.read(collection, key)
        if record is None:
            done, answer = "deleted", self._target.delete(collection, key)
        else:
            done, answer = f"sent version {record.version}", self._target.put(collection, record)
        if record is None and answer.status == HTTPStatus.NOT_FOUND:
            return "was not there"
        check(answer)
        log.info("%s %s: %s", collection.value, visible_line(key, limit=80), done)
        return done


def check(answer: Answer) -> None:
    """Return if the target has done it, else raise what its status means for the task.

    1. 2xx: done. 2. 429: try again when it says. 3. 5xx: try again after the interval.
    4. Anything else: it will never work.
    """
    if answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Retry(answer.error, after=answer.retry_after)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Retry(answer.error)
    raise Fail(answer.error)


class UpdateCustomer:
    """customer.sync: the task names a customer; its data holds the key if that is too long."""

    def __init__(self, pusher: Pusher) -> None:
        self._pusher = pusher

    def do(self, task: RecordTask) -> str:
        """Bring one customer to the target."""
        return self._pusher.push(Collection.CUSTOMERS, str(task.data.get("customer", task.key)))


class PushInvoice:
    """invoice.push: the same for an invoice, as an async handler."""

    def __init__(self, pusher: Pusher) -> None:
        self._pusher = pusher

    async def do(self, task: RecordTask) -> str:
        """Bring one invoice to the target."""
        key = str(task.data.get("invoice", task.key))
        # psycopg's pool and http.client block, so they do not belong on the event loop.
        return await asyncio.to_thread(self._pusher.push, Collection.INVOICES, key)
