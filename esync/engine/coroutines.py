"""The event loop on which async handlers run: one thread for all of them."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Step = Callable[[], Coroutine[Any, Any, bool]]

log = logging.getLogger("esync.engine")

_THREAD_PREFIX = "esync-to-thread"
_CANCEL_SECONDS = 0.5


class _StepTask(asyncio.Task[None]):
    """A task of ours; before it has begun it cannot be cancelled, or nobody would learn of it.

    A handler may cancel `asyncio.all_tasks()`.
    """

    has_begun = False

    def cancel(self, msg: object = None) -> bool:
        return self.has_begun and super().cancel(msg)


class Coroutines:
    """Runs coroutines in its own thread, which is started by the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _loop and _thread
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        # Only the loop's thread uses these.
        self._tasks: set[_StepTask] = set()
        self._is_closing = False

    def run(self, step: Step) -> None:
        """Perform a step, and again as long as it returns True; any thread may call.

        Each time it has an asyncio task and a context of its own. It must not raise.
        """
        self._get_loop().call_soon_threadsafe(self._spawn, step)

    def owns_current(self) -> bool:
        """Whether the calling thread is that of the loop."""
        return self._thread is not None and threading.current_thread() is self._thread

    def close(self, timeout: float) -> None:
        """End the thread once its last coroutine has ended; wait for that so many seconds."""
        with self._lock:
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(self._close)
        if not self.owns_current():
            thread.join(timeout)

    def threads_left(self) -> list[str]:
        """Return the threads that coroutines have started and that did not end with the loop.

        Python joins them at its exit: a process that has left must end by os._exit.
        """
        if self._thread is None or not self._thread.is_alive() or self.owns_current():
            return []
        names = [thread.name for thread in threading.enumerate()]
        return [name for name in names if name.startswith(_THREAD_PREFIX)]

    def _get_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._serve, args=(self._loop,), name="esync-async", daemon=True
                )
                self._thread.start()
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix=_THREAD_PREFIX))
        try:
            self._run(loop)
            loop.run_until_complete(_cancel_left())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run until stopped: an exit that a handler's own tasks raise ends the attempt only.

        asyncio gives it to whoever awaits the task, and raises it out of the loop as well.
        """
        while not self._is_closing or self._tasks:
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as exc:
                log.warning("a handler's task raised %r; the others go on", exc)

    def _spawn(self, step: Step) -> None:
        loop = asyncio.get_running_loop()
        self._tasks.add(_StepTask(self._perform(step), loop=loop, context=Context()))

    async def _perform(self, step: Step) -> None:
        """Be a task; a callback at its end instead would cost as much as the task itself."""
        task = cast("_StepTask", asyncio.current_task())
        task.has_begun = True
        is_to_go_on = False
        try:
            is_to_go_on = await step()
        finally:
            self._tasks.discard(task)
            if is_to_go_on:
                self._spawn(step)
            elif self._is_closing:
                self._close()

    def _close(self) -> None:
        self._is_closing = True
        if not self._tasks:
            asyncio.get_running_loop().stop()


async def _cancel_left() -> None:
    """Cancel the tasks that handlers have left behind, as asyncio.run does, and wait a little."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_CANCEL_SECONDS)
