"""When a runner pops next, and what it must leave out."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from esync.engine.cursor import LONGEST_SECONDS, Cursor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from esync.driver import Place, Popped

_BLOCKED_SECONDS = 0.1
_FIRST_LIMITED_WAIT = 0.05
_SUSPECT_SECONDS = 1.0
"""So long suspects are left alone after one could not be popped: it was limited, or taken."""
_DRAIN_SECONDS = 10.0
"""So long a runner drains for a suspect; then its other tasks go on for as long."""
_PLACE_SECONDS = 1.0
"""So long pops go on from where the last got to, before one looks from the start again."""
_BUSY_SECONDS = 0.25
"""So long more must be due than a runner has claimed before it is taken out of the sleepers; for a
stream it is taken out no more often than that either."""
_RATE_SECONDS = 0.25
"""The rate of claims is that of so long, or of the time in which a stream's worth of it came: at
full rate wake-ups cost producers most of theirs."""
_STREAM_RATE = 200
"""Claims a second beyond which a runner polls: a wake-up for every insert would cost more. It goes
on to poll for half of that."""
_STREAM_BURST = _STREAM_RATE * _RATE_SECONDS
_STREAM_CLAIMS = 5
"""Of one pop so many claims count at most: what comes by the hundred is a backlog that is worked
off, unless pops are slow and find as many each time."""
_STREAM_PAUSE = 0.1
"""Seconds since the pop before, at most, for which twice the stream's rate of its claims count."""
_STREAM_POLL = 0.005
_STREAM_RATIO = 4
"""The pause is so many times as long as a pop: a fleet that polls must not keep the lock busy."""
_EMPTY_POPS = 4
"""So many pops in a row find nothing when there is no more to do: a runner that works faster than
tasks come would else fall asleep between them, and have each of the next ones wake it."""
_LONGEST_TRY = 0.5
"""Seconds. What took longer waited for something else: a limit, an operator, the database."""
_ASIDE_SECONDS = 0.02
"""So long pops supersede requests of a key before one passes it over, for the other keys."""
_SMOOTHING = 4
"""Pops that weigh about as much as all before them."""


class Pace:
    """The rhythm of one runner. The popper's thread alone uses it, except where said."""

    def __init__(self) -> None:
        self.is_prodded = True
        """Any thread may set it: there may be something to pop."""
        self.waits_for_end = False
        """The end of an attempt of this runner may let something be popped."""
        self.wants_suspect = False
        """A task that has crashed a worker is due: drain, then pop it alone."""
        self.is_quarantined = False
        """Such a task runs: nothing is popped beside it."""
        self.suspects_ahead = 0
        """Suspects that the last pop saw and left, and that stand before the others."""
        self.is_asleep = False
        """Inserts send a wake-up: the runner is among the sleepers."""
        self.was_held = False
        """The last pop saw nothing, since somebody held the runner all the time."""
        self.pop_seconds = 0.0
        """How long it takes to get something popped, the last pops weighing most."""
        self._due_at = 0.0
        self._backlog_since: float | None = None
        self._taken_out_at = -math.inf
        self._is_taken_out = False
        self._counted_since = 0.0
        self._claimed = 0
        self._noted_at = 0.0
        self._rate = 0.0
        self._empty_pops = 0
        self._cursor = Cursor(_PLACE_SECONDS)
        # Of pops that pass over a key whose requests, perhaps a hundred thousand, come first.
        self._cursor_aside = Cursor(LONGEST_SECONDS)
        self._is_aside = False
        self._aside_at = -math.inf
        self._has_hot_key = False
        """The last pop that passed nothing over did nothing but supersede."""
        self._has_freed = False
        """A blocked key may be claimed now: its task may stand before the place of pops aside."""
        self._began_at = 0.0
        self._tried_at = math.inf
        self._suspects_at = 0.0
        self._drain_until = 0.0
        self._limited_wait = _FIRST_LIMITED_WAIT
        self._blocked: dict[str, float] = {}
        self._passed_over: tuple[str, ...] = ()
        self.has_left_out = False
        """The pop at hand does not look at everything: pop again before resting."""
        self._lock = threading.Lock()  # guards _timer and _blocked, which the finisher changes
        self._timer = math.inf

    def is_due(self, now: float) -> bool:
        """Whether it is time to pop."""
        return self.is_prodded or now >= self._due_at or now >= self._timer

    def next_at(self) -> float:
        """Return when it is time to pop unless prodded before."""
        return min(self._due_at, self._timer)

    def begin(self, now: float) -> None:
        """Note that a pop begins: what was due is being looked after."""
        self.is_prodded = False
        self.has_left_out = False
        self._began_at = now
        self._tried_at = min(self._tried_at, now)
        self._due_at = math.inf
        if now >= self._timer:
            with self._lock:
                self._timer = math.inf

    def aim(self, now: float) -> tuple[tuple[str, ...], Place | None]:
        """Return the keys that the pop at hand leaves out, and where it may begin.

        Left out are those that were blocked a moment ago, or are passed over this time.
        """
        passed_over, self._passed_over = self._passed_over, ()
        self._is_aside = bool(passed_over)
        if self._has_freed:  # before the keys are taken, so that what is freed now counts next time
            self._has_freed = False
            self._cursor_aside.forget()
        place = (self._cursor_aside if self._is_aside else self._cursor).begin(now)
        self.has_left_out |= self._is_aside or place is not None
        with self._lock:
            self._blocked = {key: until for key, until in self._blocked.items() if until > now}
            return (*self._blocked, *passed_over), place

    @property
    def has_backlog(self) -> bool:
        """Whether more is due and the runner will look for itself until all is claimed.

        Any thread may ask.
        """
        return self._backlog_since is not None and not self.is_asleep

    @property
    def is_superseding(self) -> bool:
        """Whether the pop at hand will see little but requests of one key."""
        return self._has_hot_key and not self._is_aside

    def pass_over(self, keys: tuple[str, ...], now: float) -> None:
        """Leave keys out of the next pop, if none has for a while: one has more to supersede."""
        if now - self._aside_at >= _ASIDE_SECONDS:
            self._aside_at = now
            self._passed_over = keys

    def block(self, keys: Iterable[str], now: float) -> bool:
        """Leave keys out for a short while; return whether one of them is new."""
        until = now + _BLOCKED_SECONDS
        with self._lock:
            before = len(self._blocked)
            self._blocked.update(dict.fromkeys(keys, until))
            has_new = len(self._blocked) > before
            if has_new:
                # While new ones turn up the search goes on, past all that were found before.
                self._blocked = dict.fromkeys(self._blocked, until)
            return has_new

    def end(self, keys: Iterable[str], *, retry_at: float) -> bool:
        """Note attempts that ended; return whether something may be popped now.

        The finisher calls this, from its own thread.
        """
        with self._lock:
            self._timer = min(self._timer, retry_at)
            if self._blocked:
                hits = [self._blocked.pop(key, None) for key in keys]
                self._has_freed |= any(hits)
                return self.waits_for_end or any(hits)
        return self.waits_for_end

    def awaits_end(self, key: str) -> bool:
        """Whether a newer request of a key, or a suspect, waits for its end; any thread may ask."""
        return key in self._blocked or self.is_quarantined or self.wants_suspect

    def go_on(self) -> None:
        """Pop again at once."""
        self._due_at = 0.0

    def put_off(self, until: float) -> None:
        """Pop again at that time, or when prodded."""
        self._due_at = until
        self._backlog_since = None  # until then looks see to it

    def put_off_limited(self, now: float, *, longest: float) -> None:
        """Pop after a wait that grows while the limit leaves no room, or as planned if sooner."""
        self._due_at = min(self._due_at, now + self._limited_wait)
        self._limited_wait = min(self._limited_wait * 2, longest)

    def rest(self, now: float) -> bool:
        """Wait for a wake-up; return whether the runner must fall asleep for that."""
        if self.is_asleep:
            return False
        if not self._is_taken_out or not self._may_get_more():
            return True
        self._due_at = now + max(_STREAM_POLL, _STREAM_RATIO * (now - self._began_at))
        return False

    def sleep(self) -> None:
        """Note that the runner is among the sleepers now."""
        self.is_asleep = True
        self._is_taken_out = False

    def forget_sleep(self) -> None:
        """Note that the runner is not among the sleepers, since the worker has a new lease."""
        self.is_asleep = self._is_taken_out = False

    def note_suspects(self, count: int, now: float) -> bool:
        """Note how many suspects are due; return whether it is their turn."""
        self.suspects_ahead = count
        if not count:
            return False
        self.wants_suspect = now >= self._suspects_at
        if self.wants_suspect:
            self._due_at = 0.0
            self._drain_until = now + _DRAIN_SECONDS
        return self.wants_suspect

    def may_drain(self, now: float) -> bool:
        """Whether the runner may go on draining; a handler that runs for hours must not stop it."""
        if self.is_quarantined or now < self._drain_until:
            return True
        self.wants_suspect = False
        self._suspects_at = now + _DRAIN_SECONDS
        return False

    def note_suspect_turn(self, now: float, *, got_one: bool) -> None:
        """Note that a suspect was popped alone, or could not be; the others come next."""
        self.wants_suspect = False
        self.is_quarantined = got_one
        self._due_at = 0.0
        if not got_one:
            self._suspects_at = now + _SUSPECT_SECONDS

    def put_off_suspects(self) -> None:
        """Pop again when it is the suspects' turn, if nothing else comes before."""
        self._due_at = min(self._due_at, self._suspects_at)

    def note_held(self, now: float) -> None:
        """Note that a pop saw nothing: others are working off what there is."""
        self.was_held = True
        if self._backlog_since is None:
            self._backlog_since = now

    def note_pop(self, now: float, *, claims: int, is_exhausted: bool) -> None:
        """Note what a pop got, and whether it saw everything that was due."""
        self.was_held = False
        if claims or is_exhausted:  # otherwise others may be at it: the next pop is the same try
            seconds = min(now - self._tried_at, _LONGEST_TRY)
            self.pop_seconds += (seconds - self.pop_seconds) / _SMOOTHING
            self._tried_at = math.inf
        if claims:
            self._limited_wait = _FIRST_LIMITED_WAIT
        self._empty_pops = 0 if claims else self._empty_pops + 1
        self._note_rate(now, claims if is_exhausted else 0)
        if is_exhausted:
            self._backlog_since = None
        elif self._backlog_since is None:
            self._backlog_since = now

    def note_place(self, popped: Popped, now: float) -> None:
        """Note what a pop saw and how far it came; the next ones go on from there for a while."""
        if not self._is_aside:
            self._has_hot_key = popped.superseded > 0 and not popped.claims
            # A runner that has seen everything looks from the start before it rests.
            self._cursor.note(None if popped.is_exhausted else popped.place, now)
        elif popped.place is not None:
            self._cursor_aside.note(popped.place, now)

    def is_busy(self, now: float) -> bool:
        """Whether the runner has so much to do that it should leave the sleepers."""
        if self._is_streaming(now) and now - self._taken_out_at >= _BUSY_SECONDS:
            return True
        return self._backlog_since is not None and now - self._backlog_since >= _BUSY_SECONDS

    def wake(self, now: float) -> None:
        """Note that the runner is not among the sleepers any more, since it is busy or paused.

        It pops again, for what came before and sent a wake-up to nobody.
        """
        self.is_asleep = False
        self._due_at = 0.0
        self._is_taken_out = True
        self._taken_out_at = now

    def start_again(self) -> None:
        """Forget what is known of the queue: the worker has a new lease, or the store was away."""
        self.is_prodded = True
        self.wants_suspect = False
        self._backlog_since = None
        self._tried_at = math.inf
        self._cursor.forget()
        self._cursor_aside.forget()

    def _note_rate(self, now: float, claims: int) -> None:
        elapsed = now - self._counted_since
        if elapsed >= _RATE_SECONDS or self._claimed >= _STREAM_BURST:
            self._rate = self._claimed / elapsed if elapsed else math.inf
            self._claimed, self._counted_since = 0, now
        pause, self._noted_at = min(now - self._noted_at, _STREAM_PAUSE), now
        self._claimed += min(claims, max(_STREAM_CLAIMS, int(2 * _STREAM_RATE * pause)))

    def _is_streaming(self, now: float) -> bool:
        """Whether tasks come so fast, one by one, that the next will be there at the next look."""
        is_fresh = now - self._counted_since < 2 * _RATE_SECONDS
        return is_fresh and self._rate >= _STREAM_RATE and self._empty_pops < _EMPTY_POPS

    def _may_get_more(self) -> bool:
        """Whether polling is better than falling asleep, for a runner that was busy."""
        return self._empty_pops < _EMPTY_POPS and self._rate >= _STREAM_RATE / 2
