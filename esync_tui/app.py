"""The console: it owns the state, the threads and the dialogs; screens only draw and post."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import App
from textual.screen import ModalScreen, Screen

from esync.operations import describe
from esync.snapshot import Filter
from esync_tui import messages
from esync_tui.bars import problem_texts
from esync_tui.keys import EVERYWHERE, bindings
from esync_tui.leaving import EngineRoom
from esync_tui.logs import LogTail, TailStream, logging_into
from esync_tui.operator import Operator
from esync_tui.palette import ConsoleCommands
from esync_tui.poller import INTERVAL, Poller, Wanted
from esync_tui.screens.ask import AskScreen
from esync_tui.screens.base import ConsoleScreen
from esync_tui.screens.detail import DetailScreen
from esync_tui.screens.overview import OverviewScreen
from esync_tui.screens.reading import ReadingScreen, help_lines
from esync_tui.screens.tasks import TasksScreen
from esync_tui.state import NOTICE_SECONDS, State
from esync_tui.terminal import Terminal
from esync_tui.text import Piece, shown
from esync_tui.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.binding import BindingType

    from esync.driver import ConsoleDriver
    from esync.operations import Operations
    from esync_tui.engine import Engine

GUARD = 0.3
"""Seconds after a question appears in which keys are dropped: nobody confirms unread text."""

GRACE = 30.0
HURRY_SECONDS = 3.0
TICK = 0.5
STILL_RUNNING = 5
"""The exit code when handlers of the engine inside still ran at the end of the grace period."""

_NO_TERMINAL = 2
_JOIN_SECONDS = 5.0
_SLOW_TICK = 0.25
"""Seconds by which the screen lags behind from which on it is said: handlers hold the GIL."""

_INTERRUPT_SECONDS = 2.0


class Console(App[int]):
    """Shows a queue and acts on it; returns the exit code."""

    CSS_PATH = "console.tcss"
    MODES: ClassVar[dict[str, type[Screen[None]]]] = {  # type: ignore[assignment]
        "overview": OverviewScreen,
        "tasks": TasksScreen,
    }
    DEFAULT_MODE = "overview"
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012 - Textual declares it as an attribute of the app
        (0, "-low"),
        (16, "-mid"),
        (32, "-tall"),
    ]
    COMMANDS: ClassVar[set[type[ConsoleCommands]]] = {ConsoleCommands}  # type: ignore[assignment]
    BINDINGS: ClassVar[list[BindingType]] = bindings(EVERYWHERE)

    def __init__(
        self,
        driver: ConsoleDriver,
        operations: Operations,
        *,
        title: str,
        engine: Engine | None = None,
        tail: LogTail | None = None,
        grace: float = GRACE,
        interval: float = INTERVAL,
        guard: float = GUARD,
        terminal: Terminal | None = None,
    ) -> None:
        super().__init__()
        now = time.monotonic()
        self.state = State(title=shown(title), started_at=now, now=now)
        self.poller = Poller(
            driver,
            on_picture=lambda: self.post_message(messages.PictureReady()),
            interval=interval,
        )
        self.writer = Writer(post=self.post_message)
        self._operator = Operator(self, driver=driver, operations=operations, writer=self.writer)
        self._room = (
            None if engine is None else EngineRoom(engine, grace=grace, post=self.post_message)
        )
        self._tail = tail
        self._terminal = terminal
        self._tail_shown = -1
        self._is_log_open = False
        self._guard = guard
        self._guarded_until = 0.0
        self._interrupted_at = float("-inf")
        self._lag = 0.0

    def on_mount(self) -> None:
        """Start the threads and the clock of the screen."""
        if not self.is_headless:
            self._catch_signals()
        if self._tail is not None:
            # Textual has put its own streams in their place, and puts them back in the end.
            sys.stdout = sys.stderr = TailStream(self._tail)
        self.poller.start()
        self.writer.start()
        if self._room is not None:
            self._room.start()
        self.set_interval(TICK, self._tick)
        # What stood on the terminal is gone when the shell brings the process back.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))

    async def on_event(self, event: events.Event) -> None:
        """Drop keys that were typed before the question that has just appeared could be read."""
        if isinstance(event, events.Key | events.Paste) and time.monotonic() < self._guarded_until:
            return
        await super().on_event(event)

    def refuse(self) -> bool:
        """Say so and return True when nothing can be changed now."""
        if self.state.picture.overview is None or self.state.is_lost:
            self.tell("nothing was changed: the database does not answer", tone="warning")
            return True
        return False

    def tell(self, text: str, *, tone: str = "") -> None:
        """Tell the operator something in one line, for a while."""
        self.state.notice, self.state.notice_tone = shown(text), tone
        self.state.noticed_at = time.monotonic()
        self._show()

    def ask(self, screen: ModalScreen[str | None], then: Callable[[str | None], None]) -> None:
        """Show a question and go on with its answer."""
        self._guarded_until = time.monotonic() + self._guard
        self.push_screen(screen, then)

    def end_threads(self) -> None:
        """Stop the threads and wait for them a little; for after the screen was left."""
        self.poller.stop()
        self.writer.stop()
        for thread in (self.poller, self.writer):
            if thread.ident is not None:
                thread.join(timeout=_JOIN_SECONDS)

    async def action_quit(self) -> None:
        """Leave; this is Textual's own key for it."""
        self.action_leave()

    def action_help_quit(self) -> None:
        """Take ctrl+c twice as a wish to leave."""
        now = time.monotonic()
        if now - self._interrupted_at < _INTERRUPT_SECONDS:
            self.action_leave()
        else:
            self._interrupted_at = now
            self.tell("ctrl+c again, or q, leaves")

    def action_leave(self) -> None:
        """Leave, but ask first while handlers run inside or an action is under way."""
        is_draining = self._room is not None and self._room.is_draining
        question = None if is_draining else self._why_stay()
        if question is None:
            self._leave_now()
        elif not isinstance(self.screen, ModalScreen):
            self.ask(AskScreen(question), self._leave_if)

    def action_suspend(self) -> None:
        """Let the shell stop this process until it is brought back."""
        if self._room is None:
            self.action_suspend_process()
        else:
            self.tell("not suspended: its tasks would be given to others; q leaves", tone="warning")

    def action_show(self, mode: str) -> None:
        """Go to a screen; on its own tab, back to its list."""
        if self.current_mode == mode:
            self._back_to_list()
        else:
            self.switch_mode(mode)

    def action_freeze(self) -> None:
        """Let the lists stand still, or live again."""
        frozen_at = None if self.state.is_frozen else time.monotonic()
        self.state.frozen_at, self.state.arrived = frozen_at, 0
        self._show()

    def action_refresh_now(self) -> None:
        """Read everything now."""
        self.poller.refresh()

    def action_help(self) -> None:
        """Show the keys of this screen."""
        screen = self._console_screen()
        keys = () if screen is None else screen.KEYS
        self.push_screen(ReadingScreen("Keys", help_lines(keys, EVERYWHERE)))

    def action_problems(self) -> None:
        """Show everything that is wrong."""
        texts = problem_texts(self.state) or [Piece("no problems", "muted")]
        self.push_screen(ReadingScreen("Problems", [(text,) for text in texts]))

    def action_log(self) -> None:
        """Show what handlers print and log, or put it away."""
        if self._tail is None:
            self.tell("no engine runs inside: its log is where the worker writes it")
            return
        self._is_log_open = not self._is_log_open
        self._show_log(is_forced=True)

    @on(messages.PictureReady)
    def _on_picture(self) -> None:
        self.state.picture = self.poller.take()
        self._show()

    @on(messages.WantedChanged)
    def _on_wanted(self) -> None:
        screen = self._console_screen()
        self.poller.want(Wanted() if screen is None else screen.wanted())
        self._show()

    @on(messages.TaskActionWanted)
    def _on_task_action(self, wanted: messages.TaskActionWanted) -> None:
        self._operator.act(wanted)

    @on(messages.PauseWanted)
    def _on_pause(self, wanted: messages.PauseWanted) -> None:
        self._operator.pause(wanted.view)

    @on(messages.MatchesCounted)
    def _on_counted(self, counted: messages.MatchesCounted) -> None:
        if isinstance(self.screen, ModalScreen):
            self.tell("counted, but something else was asked meanwhile: press the key again")
        else:
            self._operator.confirm_counted(counted)
        self._show()

    @on(messages.ActionEnded)
    def _on_ended(self, ended: messages.ActionEnded) -> None:
        has_done = bool(ended.result.changed or ended.result.asked or ended.result.names)
        for screen in self.screen_stack:
            if isinstance(screen, TasksScreen):
                screen.action_unmark()
        self.tell(describe(ended.result), tone="done" if has_done else "warning")
        self.poller.refresh()

    @on(messages.ActionFailed)
    def _on_failed(self, failed: messages.ActionFailed) -> None:
        self.tell(failed.text, tone="critical")
        self.poller.refresh()

    @on(messages.Notice)
    def _on_notice(self, notice: messages.Notice) -> None:
        self.tell(notice.text, tone=notice.tone)

    @on(messages.TasksWanted)
    async def _on_tasks_wanted(self, wanted: messages.TasksWanted) -> None:
        await self.switch_mode("tasks")
        self._back_to_list()
        screen = self._console_screen()
        if isinstance(screen, TasksScreen):
            names = () if wanted.raw_name is None else (wanted.raw_name,)
            states = () if wanted.state is None else (wanted.state,)
            screen.look_for(Filter(names=names, states=states))

    @on(messages.DetailWanted)
    def _on_detail_wanted(self, wanted: messages.DetailWanted) -> None:
        self.push_screen(DetailScreen(wanted.task_id))

    @on(messages.EngineStopped)
    def _on_engine_stopped(self, stopped: messages.EngineStopped) -> None:
        self.exit(STILL_RUNNING if stopped.running else 0)

    @on(messages.EngineFailed)
    def _on_engine_failed(self, failed: messages.EngineFailed) -> None:
        self.state.engine_error = failed.text
        self._show()

    def _tick(self) -> None:
        now = time.monotonic()
        self._lag = max(0.0, now - self.state.now - TICK) if now > self.state.now else 0.0
        if self.state.notice and now - self.state.noticed_at > NOTICE_SECONDS:
            self.state.notice = ""
        if self._room is not None and self._room.is_draining:
            running = self._room.running
            what = (
                f"draining {running} task{'' if running == 1 else 's'}" if running else "stopping"
            )
            self.state.notice = f"{what}, q again to stop now"
            self.state.notice_tone, self.state.noticed_at = "warning", now
        self._show(is_tick=True)
        self._show_log()

    def _show(self, *, is_tick: bool = False) -> None:
        """Draw the state on the current screen; under a dialog only the bars."""
        self.state.now = time.monotonic()
        self.state.busy = self.writer.busy_with
        self.state.engine = self._engine_text()
        screen = self._console_screen()
        if screen is None:
            return
        if screen is self.screen:
            screen.show(self.state, is_tick=is_tick)
        elif screen.state is not None and screen.is_whole:
            screen.show_bars(self.state)

    def _show_log(self, *, is_forced: bool = False) -> None:
        screen = self._console_screen()
        if self._tail is None or screen is None or not screen.is_whole:
            return
        if is_forced or (self._is_log_open and self._tail.added != self._tail_shown):
            self._tail_shown = self._tail.added
            screen.show_log(self._tail.lines() if self._is_log_open else None)

    def _engine_text(self) -> str:
        if self._room is None:
            return ""
        lag = f", screen {self._lag * 1000:.0f}ms late" if self._lag > _SLOW_TICK else ""
        return f"worker inside: {self._room.running} running{lag}"

    def _console_screen(self) -> ConsoleScreen | None:
        """Return the screen that is seen, below any dialog."""
        screens = [screen for screen in self.screen_stack if isinstance(screen, ConsoleScreen)]
        return screens[-1] if screens else None

    def _back_to_list(self) -> None:
        while isinstance(self.screen, DetailScreen):
            self.pop_screen()

    def _why_stay(self) -> str | None:
        """Return the question to ask before leaving; None when there is none."""
        busy = self.writer.busy_with
        if busy is not None:
            return f"{busy} is under way; leave all the same?"
        if self._room is not None and (running := self._room.running):
            handlers = "handler runs" if running == 1 else "handlers run"
            return f"{running} {handlers} inside; let them finish and leave?"
        return None

    def _catch_signals(self) -> None:
        """Leave in order: Textual ignores these signals, and the terminal would stay raw."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leave_now)

        def on_hangup(_number: int, _frame: object) -> None:
            # At once, not when the loop comes to it: the SIGCONT that follows a hangup would make
            # Textual take the terminal over a second time, with threads that nobody stops.
            signal.signal(signal.SIGCONT, lambda _number, _frame: None)
            if self._terminal is not None:
                self._terminal.hang_up()
            loop.call_soon_threadsafe(self._leave_now)

        signal.signal(signal.SIGHUP, on_hangup)

    def _leave_if(self, answer: str | None) -> None:
        if answer is not None:
            self._leave_now()

    def _leave_now(self) -> None:
        """Leave; the engine inside is asked to finish first, and told to hurry the second time."""
        if self._room is None:
            self.exit(0)
        elif self._room.is_draining:
            self._room.hurry()
            # An engine that does not even answer is left behind.
            self.set_timer(HURRY_SECONDS, lambda: self.exit(STILL_RUNNING))
        else:
            self._room.stop()
            self._tick()


def run_console(
    driver: ConsoleDriver,
    operations: Operations,
    *,
    title: str,
    engine: Engine | None = None,
    grace: float = GRACE,
) -> int:
    """Show the console until it is left; return the exit code.

    0 when it was left; 2 without a terminal; 5 when handlers of the engine inside still ran at
    the end of the grace period: the process should end at once then, their threads go on.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        sys.stderr.write("the console needs a terminal; esync status needs none\n")
        return _NO_TERMINAL
    tail = None if engine is None else LogTail()
    terminal = Terminal(tail)
    console = Console(
        driver,
        operations,
        title=title,
        engine=engine,
        tail=tail,
        grace=grace,
        terminal=terminal,
    )
    on_hangup = signal.getsignal(signal.SIGHUP)
    with ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGHUP, on_hangup)
        stack.enter_context(terminal)
        if tail is not None:
            stack.enter_context(logging_into(tail))
        code = console.run()
    console.end_threads()
    if code is not None:
        return code
    return _end_broken(engine, tail, console.return_code)


def _end_broken(engine: Engine | None, tail: LogTail | None, code: int | None) -> int:
    """Tell what ended the console, which was caught with everything else, and stop the engine."""
    for line in () if tail is None else tail.lines():
        sys.stderr.write(f"{line.text}\n")
    if engine is not None and engine.stop(GRACE):
        return STILL_RUNNING
    return code or 1
