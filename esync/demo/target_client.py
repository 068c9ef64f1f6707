"""The client of the target: connections that are kept alive, and answers as they are."""

from __future__ import annotations

import json
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, RemoteDisconnected
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from esync.demo.record import Collection, Record
from esync.errors import EsyncError

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT = 5.0
"""Seconds that an answer may take."""
_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the target said."""

    status: int
    content: Any
    retry_after: float | None = None
    """Seconds."""

    @property
    def error(self) -> str:
        """Its reason, or the status in words."""
        if isinstance(self.content, dict) and (text := self.content.get("error")):
            return f"{self.status} {text}"
        return f"{self.status} {HTTPStatus(self.status).phrase}"


class TargetClient:
    """Speaks with the target; every thread may call, each call takes a connection of its own."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        # A deque's append and pop are atomic: no lock is needed to share the idle connections.
        self._idle: deque[HTTPConnection] = deque()
        self._is_closed = False

    def put(self, collection: Collection, record: Record) -> Answer:
        """Send a record."""
        body = json.dumps(
            {"version": record.version, "fields": record.fields}, ensure_ascii=False
        ).encode()
        return self._request("PUT", _path(collection, record.key), body=body)

    def get(self, collection: Collection, key: str) -> Answer:
        """Ask for a record."""
        return self._request("GET", _path(collection, key))

    def delete(self, collection: Collection, key: str) -> Answer:
        """Delete a record."""
        return self._request("DELETE", _path(collection, key))

    def scan(self, collection: Collection) -> Iterator[Record]:
        """Yield every record in the order of the keys' UTF-8 bytes."""
        after = ""
        while page := self._get(f"/{collection}?{urlencode({'after': after, 'limit': _PAGE})}"):
            for item in page:
                yield Record(**item)
            after = page[-1]["key"]

    def refusals(self, collection: Collection) -> dict[str, dict[str, Any]]:
        """Return version and reason of what was refused last, by key."""
        refusals: dict[str, dict[str, Any]] = self._get(f"/refusals/{collection}")
        return refusals

    def stats(self) -> dict[str, int]:
        """Return how often each status was answered, and how often an older version came late."""
        stats: dict[str, int] = self._get("/stats")
        return stats

    def close(self) -> None:
        """Close the idle connections, and from now on each after its request."""
        self._is_closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _get(self, path: str) -> Any:
        answer = self._request("GET", path)
        if answer.status != HTTPStatus.OK:
            raise EsyncError(f"target: {answer.error}; it should answer 200")
        return answer.content

    def _request(self, method: str, path: str, *, body: bytes | None = None) -> Answer:
        """Ask once; a second time if an idle connection turns out to be closed.

        Asking twice is safe since every request of this client is idempotent.
        """
        while self._idle:
            try:
                return self._ask(self._idle.pop(), method, path, body=body)
            except (RemoteDisconnected, ConnectionError):
                continue
            except IndexError:  # another thread took the last one
                break
        return self._ask(
            HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT), method, path, body=body
        )

    def _ask(
        self, connection: HTTPConnection, method: str, path: str, *, body: bytes | None
    ) -> Answer:
        try:
            connection.request(method, path, body=body)
            response = connection.getresponse()
            content = json.loads(response.read())
        except (OSError, HTTPException, ValueError):
            connection.close()
            raise
        self._idle.append(connection)
        if self._is_closed:  # looked at behind the append, so that none is left behind
            self._close_idle()
        after = response.headers.get("Retry-After", "")
        return Answer(
            status=response.status,
            content=content,
            retry_after=float(after) if after.isdecimal() else None,
        )


def _path(collection: Collection, key: str) -> str:
    return f"/{collection}/{quote(key, safe='')}"
