"""A pool of daemon threads that grows as needed and forgets threads that stay idle."""

from __future__ import annotations

import logging
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Job = Callable[[], None]

log = logging.getLogger("esync.engine")

_IDLE_SECONDS = 10.0


class Threads:
    """Runs jobs, each in a thread at once; the thread that was idle last is used first.

    ThreadPoolExecutor would not do: its threads are joined at exit, so that one stuck handler
    would keep the process for ever, and it never shrinks.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards everything below
        self._idle: list[_PoolThread] = []
        self._all: set[_PoolThread] = set()
        self._is_closed = False
        self._count = 0

    def run(self, job: Job) -> None:
        """Run a job in a thread; raise RuntimeError when no thread can be started."""
        with self._lock:
            thread = self._idle.pop() if self._idle else None
            if thread is None:
                self._count += 1
                thread = _PoolThread(self, f"esync-slot-{self._count}")
                self._all.add(thread)
        thread.jobs.put(job)
        if thread.ident is None:
            self._start(thread)

    def owns_current(self) -> bool:
        """Whether the calling thread belongs to the pool."""
        return threading.current_thread() in self._all

    def close(self, timeout: float) -> None:
        """Let idle threads end, and busy ones after their job; wait for them so many seconds."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
            threads = list(self._all)
        for thread in idle:
            thread.jobs.put(None)
        for thread in threads:
            if thread in idle:
                thread.join(timeout)

    def rest(self, thread: _PoolThread) -> bool:
        """Make a thread available; False when it is to end instead."""
        with self._lock:
            if self._is_closed:
                return False
            self._idle.append(thread)
            return True

    def retire(self, thread: _PoolThread) -> bool:
        """Take an idle thread out; False when it was given a job at the last moment."""
        with self._lock:
            if thread not in self._idle:
                return False
            self._idle.remove(thread)
            return True

    def forget(self, thread: _PoolThread) -> None:
        """Note that a thread ends."""
        with self._lock:
            self._all.discard(thread)

    def _start(self, thread: _PoolThread) -> None:
        try:
            thread.start()
        except BaseException:
            self.forget(thread)
            raise


class _PoolThread(threading.Thread):
    def __init__(self, pool: Threads, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._pool = pool

    def run(self) -> None:
        try:
            while (job := self._next()) is not None:
                self._do(job)
        finally:
            self._pool.forget(self)

    def _next(self) -> Job | None:
        # A new thread finds its first job at once; later it must say that it is free.
        if self.jobs.empty() and not self._pool.rest(self):
            return None
        try:
            return self.jobs.get(timeout=_IDLE_SECONDS)
        except Empty:
            return None if self._pool.retire(self) else self.jobs.get()

    def _do(self, job: Job) -> None:
        try:
            job()
        except BaseException:
            log.exception("%s: a job failed", self.name)
