"""The demo: two real services on this machine, kept in step by esync."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from contextlib import ExitStack
from http.client import HTTPException
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import psycopg

from esync.demo.chaos import Chaos
from esync.demo.compare import Comparison, compare
from esync.demo.csv_reader import Customers, read_customers
from esync.demo.handlers import Pusher, PushInvoice, UpdateCustomer
from esync.demo.load import LoadGenerator, check_rate
from esync.demo.place import DemoSchema
from esync.demo.reconcile import Reconcile
from esync.demo.record import Collection
from esync.demo.source import Source
from esync.demo.target_client import TargetClient
from esync.demo.target_process import TargetProcess
from esync.engine.sync_manager import SyncManager
from esync.errors import DriverUnavailableError, EsyncError
from esync.postgres.driver import PostgresDriver
from esync.postgres.embedded import start_embedded
from esync.postgres.migrate import migrate
from esync.task_manager import TaskManager

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

log = logging.getLogger("esync.demo")

DEFAULT_RATE = 20.0
"""Edits per second."""
DATABASE = "esync_demo"
TABLE = "message_queue"

_RETRY_INTERVAL = 2.0
_RECONCILE_INTERVAL = 5.0
_RECONCILE_ROWS = 2000
"""Rows that add a second to it: comparing everything must not be all that the demo does."""
_HANDLER_LIMIT = 15.0
_STALL_LIMIT = 30.0
"""Seconds without progress after which draining is given up."""
_LOOK_INTERVAL = 0.2


class Demo:
    """Source, target, queue and handlers; made by `open_demo`, a context manager that ends all.

    Nothing runs until `manager.start()` (or `start`) and `start_load()` are called.
    """

    def __init__(
        self,
        *,
        dsn: str | None,
        customers: Customers,
        rate: float,
        chaos: Chaos,
        seed: int | None = None,
    ) -> None:
        with ExitStack() as stack:
            self._open(stack, dsn=dsn, customers=customers, rate=rate, chaos=chaos, seed=seed)
            self._stack = stack.pop_all()

    def _open(
        self,
        stack: ExitStack,
        *,
        dsn: str | None,
        customers: Customers,
        rate: float,
        chaos: Chaos,
        seed: int | None,
    ) -> None:
        """Open everything in the order in which it is needed; the stack closes it in reverse."""
        if dsn is None:
            dsn = stack.enter_context(start_embedded()).dsn(DATABASE)
        self.dsn, self.table = dsn, TABLE
        self.schema = stack.enter_context(DemoSchema(dsn)).name
        migrate(dsn, schema=self.schema, table=TABLE)
        self.driver = PostgresDriver(dsn, schema=self.schema, table=TABLE)
        stack.callback(self.driver.close)
        self.task_manager = TaskManager(self.driver, created_by="erp")
        self.source = Source(dsn, schema=self.schema, table=TABLE)
        stack.callback(self.source.close)
        self.source.open()
        self.source.create()
        self._process = stack.enter_context(TargetProcess(chaos=chaos, seed=seed))
        self.target = TargetClient(self._process.port)
        stack.callback(self.target.close)
        self.load = LoadGenerator(
            self.source, customers.rows, task_manager=self.task_manager, rate=rate, seed=seed
        )
        self._reconcile_interval = _RECONCILE_INTERVAL + len(customers.rows) / _RECONCILE_ROWS
        self._reconcile = Reconcile(self.source, self.target, task_manager=self.task_manager)
        self.manager = self._make_manager()
        stack.callback(self.manager.stop)
        stack.callback(self.load.stop)
        self.source.add_customers(customers.rows.items())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def describe(self) -> str:
        """Return one line that says what runs where."""
        return f"source: PostgreSQL schema {self.schema}; target: {self.target.url}"

    def start(self) -> None:
        """Start the worker and the load generator."""
        self.manager.start()
        self.start_load()

    def start_load(self) -> None:
        """Begin to edit rows of the source."""
        self.load.start()

    def finish(self, *, stall_limit: float = _STALL_LIMIT) -> Comparison:
        """Stop the load, wait until the queue is drained, and compare both sides.

        The worker must run, here or elsewhere. Waiting ends without a drained queue when the
        number of tasks has not fallen for `stall_limit` seconds. Raises EsyncError when one of
        the two sides is away.
        """
        self.load.stop()
        waiting = self._drain(stall_limit)
        return dataclasses.replace(
            self._compare(),
            waiting=waiting,
            edits=self.load.edits,
            repaired=self._reconcile.repaired,
        )

    def waiting(self) -> int | None:
        """Return how many tasks are pending or running; None while the database is away."""
        try:
            return self.driver.get_task_count()
        except DriverUnavailableError:
            return None

    def _drain(self, stall_limit: float) -> int:
        """Wait until no task is left or nothing has moved for a while; return how many are left."""
        pause = threading.Event()  # never set: a wait on it is a pause
        lowest: int | None = None
        moved_at = time.monotonic()
        while True:
            self._process.check()
            waiting = self.waiting()
            if waiting == 0:
                return 0
            if waiting is not None and (lowest is None or waiting < lowest):
                lowest, moved_at = waiting, time.monotonic()
            if time.monotonic() - moved_at > stall_limit:
                return self.driver.get_task_count()
            pause.wait(_LOOK_INTERVAL)

    def _compare(self) -> Comparison:
        try:
            return compare(self.source, self.target)
        except psycopg.Error as exc:
            msg = f"source: {type(exc).__name__}; the two sides were not compared"
            raise DriverUnavailableError(msg) from exc
        except (OSError, HTTPException) as exc:
            self._process.check()
            msg = f"target: {type(exc).__name__}; the two sides were not compared"
            raise EsyncError(msg) from exc

    def _make_manager(self) -> SyncManager:
        manager = SyncManager(self.driver)
        pusher = Pusher(self.source, self.target)
        manager.register_task_handler(
            UpdateCustomer(pusher),
            Collection.CUSTOMERS.task_name,
            interval=_RETRY_INTERVAL,
            jitter=0.5,
            timeout=_HANDLER_LIMIT,
            concurrency=4,
        )
        manager.register_task_handler(
            PushInvoice(pusher),
            Collection.INVOICES.task_name,
            interval=_RETRY_INTERVAL,
            timeout=_HANDLER_LIMIT,
            concurrency=4,
            limit=2,
        )
        manager.schedule(self._reconcile, self._reconcile_interval, name="reconcile")
        return manager


def open_demo(
    *,
    dsn: str | None = None,
    csv: Path | None = None,
    key: str | None = None,
    rate: float = DEFAULT_RATE,
    chaos: Chaos | None = None,
    seed: int | None = None,
) -> Demo:
    """Open the demo: the customers of a CSV file, a target that misbehaves, and a worker.

    Without a DSN the embedded PostgreSQL is used; with one, a schema of its own in that database.
    `rate` is edits per second. Raises TaskValueError for a bad CSV file, SettingError for a bad
    setting, and DriverError when the database cannot be used.
    """
    return Demo(
        dsn=dsn,
        customers=_read_customers(csv, key=key),
        rate=check_rate(rate),
        chaos=chaos or Chaos(),
        seed=seed,
    )


def _read_customers(csv: Path | None, *, key: str | None) -> Customers:
    if csv is not None:
        return read_customers(csv, key=key)
    with as_file(files("esync.demo").joinpath("customers.csv")) as path:
        return read_customers(path, key=key)
