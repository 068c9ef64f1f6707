"""Pops for all runners: one thread and one connection, however many names there are."""

from __future__ import annotations

import logging
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from esync.driver import POP_LIMIT
from esync.engine.service import AWAY, Service, pause
from esync.errors import DriverError, DriverUnavailableError, WorkerGoneError
from esync.task import Release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from esync.driver import Place, Popped, RunnerDriver
    from esync.engine.executor import Executor
    from esync.engine.held import Held
    from esync.engine.lease import Lease
    from esync.engine.pace import Pace
    from esync.engine.presence import Presence
    from esync.engine.reporter import Reporter
    from esync.engine.runner import Runner

log = logging.getLogger("esync.engine")

HOARD_SECONDS = 1.0
"""Claims that have waited longer for their start are given back."""
_LATE_SECONDS = 0.02
"""Claims that have waited longer get every free slot."""
_LONGEST_WAIT = 1.0
_NO_PROGRESS_WAIT = 0.1
_REFUSED_WAIT = 5.0
_LOOK_PAST = 10
_LAST_RELEASES = 3
_SUPERSEDING_LIMIT = 100
"""Rows that a pop looks at when the one before found nothing but requests to supersede: reading a
thousand of them would take up to half of its time."""
_HELD_SECONDS = 0.05
_HELD_LIMIT_SECONDS = 0.4
"""After a pop that waited in vain, most likely for others that pop, the runners whose last pop did
so are left alone for so long, and after each further one for twice as long: the others are at work,
and of many workers fewer do more."""
_LOOKS = (0.0, 0.02, 0.1, 0.3)
"""Seconds after falling asleep: for what came just before, and for the insert whose commit was
slept through. One look tells of all names, where each of them would pop."""


class Popper(Service):
    """Serves the runners in turn, one pop each, and gives back what they cannot start."""

    def __init__(
        self,
        driver: RunnerDriver,
        *,
        poll: float,
        runners: Sequence[Runner],
        executor: Executor,
        presence: Presence,
        reporter: Reporter,
        look: Callable[[], None],
        on_outage: Callable[[DriverError], None],
    ) -> None:
        """`look` has all names looked at for what is new, which costs less than a pop for each."""
        super().__init__("popper", on_outage=on_outage)
        self._driver = driver
        self._poll = poll
        self._runners = deque(runners)
        self._executor = executor
        self._presence = presence
        self._reporter = reporter
        self._lease: Lease | None = None
        self._returns: deque[tuple[Runner, Held]] = deque()
        self._look = look
        self._look_times: list[float] = []
        self._tired: list[Runner] = []
        """Runners that are to fall asleep."""
        self._held_wait = _HELD_SECONDS
        self._held_until = 0.0

    def give_back(self, runner: Runner, held: Held) -> None:
        """Take a claim that is not to be started; any thread may call."""
        self._returns.append((runner, held))
        self.prod()

    def tick(self) -> None:
        """Give back, pop for every runner that wants tasks, then wait for the next reason to."""
        self._wake.clear()  # before popping: what is prodded meanwhile is looked at again
        self._tend(time.monotonic())
        lease = self._presence.lease
        if lease is None:
            self.ask_nothing()
            self.wait(self._poll)
            return
        if lease is not self._lease:
            self._lease = lease
            self._start_again()
            for runner in self._runners:
                runner.pace.forget_sleep()
        self._runners.rotate(-1)
        for runner in self._runners:
            if self.is_stopping:
                return
            self._serve(runner, lease)
        self._keep_sleepers(lease)
        now = time.monotonic()
        if self._look_times and now >= self._look_times[0]:
            self._look_times = [at for at in self._look_times if at > now]
            self._look()
        self.wait(self._seconds_to_wait(now))

    def on_return(self) -> None:
        """Look at everything: wake-ups were missed."""
        self._start_again()

    def on_stop(self) -> None:
        """Give back everything that was not started, and be woken no more."""
        for runner in self._runners:
            self._returns.extend((runner, held) for held in runner.take_unstarted())
        for _ in range(_LAST_RELEASES):
            try:
                self._release()
            except AWAY as exc:
                log.warning("popper: %s; %d tasks are not released yet", exc, len(self._returns))
                pause(_NO_PROGRESS_WAIT)
            else:
                break
        if self._lease is not None:
            with suppress(*AWAY):
                self._take_out(self._runners, self._lease)

    def _start_again(self) -> None:
        for runner in self._runners:
            runner.pace.start_again()

    def _tend(self, now: float) -> None:
        """See to claims that wait: give them every slot, and in the end give them back."""
        for runner in self._runners:
            if not runner.buffer:
                continue
            waited = runner.oldest_wait(now)
            if runner.is_paused or waited > HOARD_SECONDS:
                self._unload(runner, is_slow=waited > HOARD_SECONDS)
            elif waited > _LATE_SECONDS:
                self._executor.start(runner, is_late=True)
        if self._returns:
            self._release()

    def _unload(self, runner: Runner, *, is_slow: bool) -> None:
        unstarted = runner.take_unstarted()
        self._returns.extend((runner, held) for held in unstarted)
        if is_slow:
            runner.expect_slow(HOARD_SECONDS)
            log.info("runner %s: %d tasks waited too long; released", runner.name, len(unstarted))

    def _release(self) -> None:
        """Give back what waits for it; kept when the store is away."""
        while self._returns:
            lease = self._returns[0][1].lease
            batch = [pair for pair in tuple(self._returns) if pair[1].lease is lease]
            releases = [Release(held.claim.task_id, held.claim.attempt) for _, held in batch]
            try:
                self._driver.release(releases, worker_id=lease.worker_id)
            except AWAY:
                raise
            except DriverError:  # it must not stop the pops; the rows wait for this worker's end
                log.exception("popper: %d tasks cannot be released", len(releases))
            given = {id(held) for _, held in batch}
            # Slots may append meanwhile: turn the whole deque over once.
            for _ in range(len(self._returns)):
                pair = self._returns.popleft()
                if id(pair[1]) not in given:
                    self._returns.append(pair)
            _forget(batch)

    def _serve(self, runner: Runner, lease: Lease) -> None:
        """Pop once for a runner, if it wants something and has room for it."""
        now = time.monotonic()
        pace = runner.pace
        if pace.was_held and now < self._held_until:
            return
        if not pace.is_due(now) or not (room := self._room(runner)):
            return
        pace.begin(now)
        skip_keys, place = pace.aim(now)
        is_suspect = pace.wants_suspect
        # Suspects that are left count among what a pop may see: look past them.
        # One suspect is popped at a time, but blocked ones may stand before it.
        asked = min(room + pace.suspects_ahead + _LOOK_PAST * is_suspect, POP_LIMIT)
        if pace.is_superseding:
            asked = min(asked, _SUPERSEDING_LIMIT)
        try:
            popped = self._pop(
                runner,
                lease,
                count=asked,
                skip_keys=skip_keys,
                after=None if is_suspect else place,
                is_suspect=is_suspect,
            )
            if popped is not None:
                self._take(runner, popped, lease)
                self._plan(runner, popped, asked=asked, is_suspect=is_suspect)
        except BaseException:
            pace.is_prodded = True
            raise

    def _take(self, runner: Runner, popped: Popped, lease: Lease) -> None:
        """Hold and start what was popped, and learn from it."""
        now, pace = time.monotonic(), runner.pace
        if popped.is_held:
            pace.note_held(now)
            self._held_until = now + self._held_wait
            self._held_wait = min(2 * self._held_wait, _HELD_LIMIT_SECONDS)
            return
        self._held_wait = _HELD_SECONDS
        if popped.claims:
            runner.hold(popped.claims, lease=lease)
            # A pop that outlasted the stop starts nothing: on_stop gives its claims back.
            if not self.is_stopping:
                self._executor.start(runner)
        if popped.superseded:
            self._reporter.count_others(runner.name, superseded=popped.superseded)
        pace.note_place(popped, now)
        pace.note_pop(now, claims=len(popped.claims), is_exhausted=popped.is_exhausted)

    def _room(self, runner: Runner) -> int:
        """Return how many tasks to pop for a runner that is due.

        If none, the popper is prodded once that may change.
        """
        pace = runner.pace
        # Both flags are set before what they wait for is looked at, so that no end is missed.
        if pace.is_quarantined or pace.wants_suspect:
            pace.waits_for_end = True
            if runner.in_flight and pace.may_drain(time.monotonic()):
                return 0
            pace.is_quarantined = False
        if room := runner.room():
            return room
        # A buffer that runs low says so itself; what a stalled runner waits for only ends.
        pace.waits_for_end |= runner.is_stalled()
        runner.is_thirsty = True
        return runner.room()

    def _pop(  # the parameters are those of the driver that change from pop to pop
        self,
        runner: Runner,
        lease: Lease,
        *,
        count: int,
        skip_keys: tuple[str, ...],
        after: Place | None,
        is_suspect: bool,
    ) -> Popped | None:
        pace = runner.pace
        pace.waits_for_end = False
        try:
            return self._driver.pop(
                runner.name,
                worker_id=lease.worker_id,
                count=count,
                limit=runner.settings.limit,
                stream=runner.settings.stream,
                skip_keys=skip_keys,
                suspects=is_suspect,
                after=after,
            )
        except WorkerGoneError:
            self._presence.lose(lease)
        except DriverUnavailableError as exc:
            if exc.is_ambiguous:
                self._presence.retire(lease)
            raise
        except AWAY:
            raise
        except DriverError:
            # The other runners must not suffer from one whose pop is refused.
            log.exception("runner %s: cannot pop; trying again", runner.name)
            pace.put_off(time.monotonic() + _REFUSED_WAIT)
        return None

    def _plan(self, runner: Runner, popped: Popped, *, asked: int, is_suspect: bool) -> None:
        """Decide when the runner pops next, from what this pop found."""
        pace = runner.pace
        now = time.monotonic()
        has_more = bool(popped.superseded) and len(popped.claims) < asked
        has_new_blocked = _leave_out(pace, popped, now, has_more=has_more)
        if is_suspect:
            pace.note_suspect_turn(now, got_one=bool(popped.claims))
        elif pace.note_suspects(popped.suspects, now):
            pass
        elif popped.is_held or popped.is_limited:
            pace.waits_for_end = True
            pace.put_off_limited(now, longest=self._poll)
        elif has_more or pace.has_left_out or not popped.is_exhausted:
            if popped.claims or popped.superseded or has_new_blocked or pace.has_left_out:
                pace.go_on()
            else:
                pace.put_off(now + _NO_PROGRESS_WAIT)
        else:
            self._rest(runner, popped, now)

    def _rest(self, runner: Runner, popped: Popped, now: float) -> None:
        """Let a runner wait: nothing that is due was left unseen."""
        pace = runner.pace
        if pace.rest(now):
            self._tired.append(runner)
        elif popped.blocked and not popped.claims:
            pace.put_off_limited(now, longest=self._poll)
        if popped.suspects:
            pace.put_off_suspects()

    def _keep_sleepers(self, lease: Lease) -> None:
        """Let the runners sleep that found nothing, take out those that are busy or paused."""
        now = time.monotonic()
        self._take_out(
            [one for one in self._runners if one.is_paused or one.pace.is_busy(now)], lease
        )
        if self._tired:
            tired, self._tired = list(dict.fromkeys(self._tired)), []
            try:
                self._driver.sleep([one.name for one in tired], worker_id=lease.worker_id)
            except BaseException:
                for runner in tired:
                    runner.pace.is_prodded = True
                raise
            self._look_times = [time.monotonic() + seconds for seconds in _LOOKS]
            for runner in tired:
                runner.pace.sleep()

    def _take_out(self, runners: Iterable[Runner], lease: Lease) -> None:
        """Take those of some runners that are asleep out of the sleepers."""
        awake = [runner for runner in runners if runner.pace.is_asleep]
        if awake:
            self._driver.wake([runner.name for runner in awake], worker_id=lease.worker_id)
            now = time.monotonic()
            for runner in awake:
                runner.pace.wake(now)

    def _seconds_to_wait(self, now: float) -> float:
        """Return the seconds after which some runner needs attention by itself."""
        wait = min([_LONGEST_WAIT, *(at - now for at in self._look_times[:1])])
        for runner in self._runners:
            if runner.buffer:
                has_slots = runner.active < runner.settings.concurrency
                wait = min(wait, _LATE_SECONDS if has_slots else HOARD_SECONDS / 4)
            if not runner.pace.is_due(now):
                wait = min(wait, runner.pace.next_at() - now)
            elif runner.pace.was_held and now < self._held_until:
                wait = min(wait, self._held_until - now)
            elif self._room(runner):
                return 0.0
        return max(wait, 0.0)


def _leave_out(pace: Pace, popped: Popped, now: float, *, has_more: bool) -> bool:
    """Let the next pops leave blocked keys out; return whether one of them is new.

    While older requests of such keys are still to be superseded they are left out of some pops
    only, so that neither they nor the other keys wait for long.
    """
    if not popped.blocked:
        return False
    if has_more:
        pace.pass_over(popped.blocked, now)
        return False
    return pace.block(popped.blocked, now)


def _forget(batch: Iterable[tuple[Runner, Held]]) -> None:
    for runner, held in batch:
        if runner.in_flight.get(held.claim.task_id) is held:
            del runner.in_flight[held.claim.task_id]
