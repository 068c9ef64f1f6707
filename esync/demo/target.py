"""The target of the demo: an HTTP service in its own process, with its own store.

`python -m esync.demo.target --port 0 --store FILE` prints the port that it listens on. Without
a FILE, its store goes with the process.

    PUT, GET, DELETE /customers/<key>, /invoices/<key>    behave as badly as the settings say
    GET /customers?after=<key>&limit=<n>                  pages in the order of the keys
    GET /refusals/customers   GET /stats   GET /health    never misbehave
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict, fields
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from esync.demo.chaos import Chaos, Mood, Weather
from esync.demo.record import Collection, Record
from esync.demo.target_store import TargetStore
from esync.errors import EsyncError

if TYPE_CHECKING:
    from collections.abc import Sequence

_BODY_LIMIT_BYTES = 4 * 1024 * 1024
_PAGE_LIMIT = 1000
_REFUSED = "this customer fails our credit check"
_BUSY = "we are tidying up; try again"


class TargetServer(ThreadingHTTPServer):
    """The service: a store, the weather, and a count of every answer."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, *, store: TargetStore, weather: Weather) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.store = store
        self.weather = weather
        self._lock = threading.Lock()  # guards _counts
        self._counts: Counter[str] = Counter()

    def count(self, name: str) -> None:
        """Count an answer or an event."""
        with self._lock:
            self._counts[name] += 1

    def counts(self) -> dict[str, int]:
        """Return the counts so far."""
        with self._lock:
            return dict(self._counts)


class _Handler(BaseHTTPRequestHandler):
    """One connection; it is kept alive over many requests."""

    server: TargetServer
    protocol_version = "HTTP/1.1"
    server_version = "esync-demo-target"
    timeout = 60
    wbufsize = 64 * 1024
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer with a record, a page, or what the service knows of itself."""
        collection, key, query = self._where()
        match collection, key:
            case ("health", None):
                self._answer(HTTPStatus.OK, {"health": "fine"})
            case ("stats", None):
                self._answer(HTTPStatus.OK, self.server.counts())
            case ("refusals", str(of)) if of in set(Collection):
                self._answer(HTTPStatus.OK, self.server.store.refusals(of))
            case (name, None) if name in set(Collection):
                self._answer_page(name, query)
            case (name, str(key)) if name in set(Collection):
                self._behave(name, key)
            case _:
                self._refuse_path()

    def do_PUT(self) -> None:
        """Store a record, unless it is refused for good."""
        self._change()

    def do_DELETE(self) -> None:
        """Delete a record; one that is not there is 404."""
        self._change()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the client's log is the one that people read."""

    def _change(self) -> None:
        collection, key, _ = self._where()
        if collection in set(Collection) and key:
            self._behave(collection, key)
        else:
            self._refuse_path()

    def _behave(self, collection: str, key: str) -> None:
        """Do what was asked, as badly as the weather is."""
        body = self._read_body()
        if body is None:
            return
        if wait := self.server.weather.admit():
            # Retry-After counts whole seconds (RFC 9110 section 10.2.3).
            headers = {"Retry-After": str(max(1, math.ceil(wait)))}
            self._answer(
                HTTPStatus.TOO_MANY_REQUESTS, {"error": "too many requests"}, headers=headers
            )
            return
        mood, seconds = self.server.weather.draw()
        time.sleep(seconds)
        if mood is Mood.BUSY_BEFORE:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": _BUSY})
            return
        status, content = self._do(collection, key, body=body)
        if mood is Mood.BUSY_AFTER:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": _BUSY})
        else:
            self._answer(status, content)

    def _do(self, collection: str, key: str, *, body: bytes) -> tuple[HTTPStatus, Any]:
        if self.command == "PUT":
            return self._put(collection, key, body=body)
        if self.command == "DELETE":
            was_there = self.server.store.delete(collection, key)
            return (HTTPStatus.OK if was_there else HTTPStatus.NOT_FOUND), {}
        record = self.server.store.get(collection, key)
        if record is None:
            return HTTPStatus.NOT_FOUND, {"error": "no such record"}
        return HTTPStatus.OK, asdict(record)

    def _put(self, collection: str, key: str, *, body: bytes) -> tuple[HTTPStatus, Any]:
        record = _parse(key, body)
        if record is None:
            return HTTPStatus.BAD_REQUEST, {"error": "a version and fields were expected"}
        store = self.server.store
        if collection == Collection.CUSTOMERS and self.server.weather.chaos.has_refused(key):
            store.refuse(collection, key, version=record.version, reason=_REFUSED)
            return HTTPStatus.UNPROCESSABLE_ENTITY, {"error": _REFUSED}
        if store.put(collection, record):
            self.server.count("older after newer")
        return HTTPStatus.OK, {}

    def _answer_page(self, collection: str, query: dict[str, list[str]]) -> None:
        after, limit = query.get("after", [""])[0], query.get("limit", ["100"])[0]
        if not limit.isdecimal():
            self._answer(HTTPStatus.BAD_REQUEST, {"error": "limit must be a number"})
            return
        records = self.server.store.scan(
            collection, after=after, limit=min(int(limit), _PAGE_LIMIT)
        )
        self._answer(HTTPStatus.OK, [asdict(record) for record in records])

    def _where(self) -> tuple[str, str | None, dict[str, list[str]]]:
        """Return collection, key and query of the path."""
        # The path is split by hand: urlsplit takes a path of two slashes for a host.
        path, _, query = self.path.partition("?")
        collection, slash, key = path.removeprefix("/").partition("/")
        return collection, unquote(key) if slash else None, parse_qs(query)

    def _refuse_path(self) -> None:
        if self._read_body() is not None:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "no such path"})

    def _read_body(self) -> bytes | None:
        """Return the body, read to its end so that the connection can be kept; None if too big."""
        length = self.headers.get("Content-Length", "0")
        if length.isdecimal() and int(length) <= _BODY_LIMIT_BYTES:
            return self.rfile.read(int(length))
        self.close_connection = True
        self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": "the body is too big"})
        return None

    def _answer(
        self, status: HTTPStatus, content: Any, *, headers: dict[str, str] | None = None
    ) -> None:
        body = json.dumps(content, ensure_ascii=False).encode()
        self.server.count(str(int(status)))
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to stop; return the exit code."""
    options = _parse_options(argv)
    try:
        chaos = Chaos(**{field.name: getattr(options, field.name) for field in fields(Chaos)})
    except EsyncError as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    weather = Weather(chaos, seed=options.seed)
    with (
        TemporaryDirectory(prefix="esync-demo-") as folder,
        closing(TargetStore(options.store or Path(folder) / "target.sqlite")) as store,
        TargetServer(options.port, store=store, weather=weather) as server,
    ):
        _stop_on_signal(server)
        if options.with_parent:
            threading.Thread(
                target=_stop_with_parent, args=(server,), name="esync-target-parent", daemon=True
            ).start()
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever(poll_interval=0.1)
    return 0


def _parse(key: str, body: bytes) -> Record | None:
    try:
        content = json.loads(body)
        return Record(key=key, version=int(content["version"]), fields=dict(content["fields"]))
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def _parse_options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="esync.demo.target", description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--seed", type=int)
    parser.add_argument(
        "--with-parent", action="store_true", help="stop at the end of standard input"
    )
    for field in fields(Chaos):
        name = field.name.replace("_", "-")
        parser.add_argument(f"--{name}", type=float, default=field.default)
    return parser.parse_args(argv)


def _stop_on_signal(server: TargetServer) -> None:
    def stop(_number: int, _frame: Any) -> None:
        # shutdown() waits for the loop, which this very thread runs.
        threading.Thread(target=server.shutdown, name="esync-target-stop", daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _stop_with_parent(server: TargetServer) -> None:
    """Stop at the end of standard input: the parent holds the other end, however it dies."""
    while sys.stdin.buffer.read(1024):
        pass
    server.shutdown()


if __name__ == "__main__":
    sys.exit(main())
