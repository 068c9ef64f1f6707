"""The small parts of the engine, each by itself."""

from __future__ import annotations

import itertools
import math
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from fix_wait import wait_until

from esync.backoff import Backoff
from esync.driver import Place, Popped
from esync.engine.errors import Outages
from esync.engine.held import Held
from esync.engine.lease import Lease
from esync.engine.pace import Pace
from esync.engine.runner import Runner
from esync.engine.service import LAST_PAUSE, Pauses, Service
from esync.engine.settings import HandlerSettings
from esync.engine.task import Cancellation, Task
from esync.engine.threads import Threads
from esync.errors import DriverUnavailableError
from esync.task import Claim, new_task_id

AWAY = DriverUnavailableError("away")


def claim(key="k", **changes):
    return Claim(new_task_id(), key, 1, 0, 0, "{}", None, None)._replace(**changes)


def task(**changes):
    held = Held(claim(**changes), Lease(uuid4(), until=0.0), 0.0)
    return Task("work", held, started=0.0, deadline=None, report=lambda _task, _message: None)


def runner(**settings):
    return Runner("work", print, HandlerSettings(backoff=Backoff(), **settings))


def hold(one, count):
    lease = Lease(uuid4(), until=time.monotonic() + 60)
    one.hold([claim(str(number)) for number in range(count)], lease=lease)


class Ticker(Service):
    """A service whose ticks do what a list says."""

    def __init__(self, *steps):
        self.outages = []
        super().__init__("ticker", on_outage=self.outages.append)
        self._steps = list(steps)
        self.ticks = 0
        self.returns = 0
        self.stops = 0

    def tick(self):
        self.ticks += 1
        if self._steps:
            step = self._steps.pop(0)
            if step is not None:
                raise step
        else:
            self.wait(10)

    def on_return(self):
        self.returns += 1

    def on_stop(self):
        self.stops += 1


@pytest.fixture
def start():
    services = []

    def start_service(service):
        services.append(service)
        service.start()
        return service

    yield start_service
    for service in services:
        assert service.stop()


def test_a_service_survives_whatever_a_tick_raises(start, caplog):
    ticker = start(Ticker(ValueError("a bug"), None))
    wait_until(lambda: ticker.ticks >= 3)
    assert "ticker: a tick failed; the loop goes on" in caplog.text
    assert "ValueError: a bug" in caplog.text


def test_a_service_tells_of_one_outage_once(start, caplog):
    ticker = start(Ticker(AWAY, AWAY, None, AWAY, None))
    wait_until(lambda: ticker.returns == 2)
    assert ticker.outages == [AWAY, AWAY]
    assert caplog.text.count("ticker: away; trying again") == 2


def test_prods_do_not_shorten_the_pause_after_a_failure(start):
    ticker = start(Ticker(*[AWAY] * 3))
    began = time.monotonic()
    while ticker.ticks < 4:
        ticker.prod()
        threading.Event().wait(0.001)
    assert time.monotonic() - began > 0.3


def test_a_service_stops_while_it_waits(start):
    ticker = start(Ticker())
    wait_until(lambda: ticker.ticks)
    began = time.monotonic()
    assert ticker.stop()
    assert time.monotonic() - began < 1
    assert ticker.stops == 1
    assert ticker.stop()


def test_a_service_may_be_stopped_before_it_starts():
    assert Ticker().stop()


def test_pauses_grow_to_their_bound_and_start_again():
    pauses = Pauses()
    seen = [pauses.next() for _ in range(12)]
    assert 0.05 <= seen[0] <= 0.1
    assert all(LAST_PAUSE / 2 <= one <= LAST_PAUSE for one in seen[-4:])
    pauses.reset()
    assert pauses.next() <= 0.1


def test_an_outage_is_told_once_until_it_ends():
    told = []
    outages = Outages(told.append)
    outages.begin(AWAY)
    outages.begin(AWAY)
    outages.end()
    outages.begin(AWAY)
    assert told == [AWAY, AWAY]


# Threads.


def test_the_thread_that_was_idle_last_is_used_again():
    threads = Threads()
    names = []
    for _ in range(20):
        done = threading.Event()

        def job(done=done):
            names.append(threading.current_thread().name)
            done.set()

        threads.run(job)
        assert done.wait(5)
        wait_until(lambda: threads._idle)
    threads.close(5)
    assert len(set(names)) == 1


def test_threads_grow_as_needed_and_survive_failing_jobs(caplog):
    threads = Threads()
    barrier = threading.Barrier(10)
    ended = []

    def job():
        barrier.wait(5)
        ended.append(1)
        raise SystemExit

    for _ in range(10):
        threads.run(job)
    wait_until(lambda: len(ended) == 10)
    wait_until(lambda: len(threads._idle) == 10)
    assert "a job failed" in caplog.text
    threads.close(5)
    wait_until(lambda: not threads._all)


def test_idle_threads_end(monkeypatch):
    monkeypatch.setattr("esync.engine.threads._IDLE_SECONDS", 0.05)
    threads = Threads()
    for _ in range(5):
        threads.run(lambda: None)
    wait_until(lambda: not threads._all)
    ran = threading.Event()
    threads.run(ran.set)
    assert ran.wait(5)
    threads.close(5)


def test_closing_lets_a_busy_thread_end_its_job():
    threads = Threads()
    gate, ended = threading.Event(), threading.Event()
    threads.run(lambda: gate.wait(10) and ended.set())
    threads.close(0.1)
    gate.set()
    assert ended.wait(5)
    wait_until(lambda: not threads._all)


# Tasks.


def test_cancellation_is_like_an_event():
    cancelled = Cancellation()
    assert not cancelled
    assert not cancelled.is_set()
    assert not cancelled.wait(0.01)
    cancelled.set("first")
    cancelled.set("second")
    assert cancelled
    assert cancelled.wait()
    assert cancelled.reason == "first"


def test_a_waiting_thread_is_woken_by_a_cancel():
    cancelled = Cancellation()
    thread = threading.Thread(target=cancelled.wait)
    thread.start()
    wait_until(lambda: cancelled._event is not None)
    cancelled.set("now")
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-04 05:06:07.123456+00", datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)),
        ("2026-03-04T05:06:07+00:00", datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)),
        ("2026-03-04 05:06:07", datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)),
        ("infinity", None),
        ("0044-03-15 12:00:00+00 BC", None),
        ("10000-01-01 00:00:00+00", None),
        ("", None),
        (None, None),
    ],
)
def test_created_at_is_an_aware_time_or_none(text, moment):
    assert task(created_at=text).created_at == moment


def test_remaining_is_never_negative():
    one = task()
    assert one.remaining() is None
    one.deadline = time.monotonic() - 5
    assert one.remaining() == 0
    one.deadline = time.monotonic() + 5
    assert 4 < one.remaining() <= 5


def test_a_task_shows_no_data():
    one = task(raw_data='{"secret": 1}')
    assert "secret" not in repr(one)
    assert "'k'" in repr(one)


# Runners.


def test_a_fresh_runner_wants_as_much_as_it_has_slots():
    assert runner(concurrency=7).room() == 7


@pytest.mark.parametrize(
    ("average", "room"), [(1.0, 4), (0.03, 13), (0.001, 400), (0.000_001, 1000), (0.0, 1000)]
)
def test_a_runner_claims_what_it_can_start_in_a_tenth_of_a_second(average, room):
    one = runner(concurrency=4)
    one.note_seconds(average, 1)
    assert one.room() == room


@pytest.mark.parametrize(("pop_seconds", "room"), [(0.01, 40), (0.05, 80), (3.0, 200)])
def test_a_runner_whose_pops_take_long_claims_for_longer(pop_seconds, room):
    one = runner(concurrency=4)
    one.note_seconds(0.01, 1)
    one.pace.pop_seconds = pop_seconds
    assert one.room() == room


@pytest.mark.parametrize(
    ("settings", "room"),
    [({"limit": 8}, 4), ({"limit": 400}, 200), ({"limit": 4000}, 400), ({"stream": "netsuite"}, 4)],
)
def test_a_limited_runner_claims_a_part_of_its_limit_ahead(settings, room):
    one = runner(concurrency=4, **settings)
    one.note_seconds(0.001, 1)
    assert one.room() == room


@pytest.mark.parametrize(("limit", "room"), [(300, 250), (600, 250), (2000, 500), (10_000, 1000)])
def test_a_limited_runner_pops_a_part_of_its_limit_at_once(limit, room):
    one = runner(concurrency=300, limit=limit)
    one.note_seconds(0.001, 1)
    assert one.room() == room


def test_a_runner_with_a_full_buffer_wants_nothing():
    one = runner(concurrency=4)
    one.note_seconds(0.001, 1)
    hold(one, 400)
    assert one.room() == 0
    while len(one.buffer) > one.low_water:
        assert one.room() == 0
        one.buffer.popleft()
    assert one.room() == 200


def test_a_runner_that_cannot_record_wants_nothing():
    one = runner(concurrency=4)
    hold(one, 5000)
    one.take_unstarted()
    assert one.room() == 0


def test_slots_are_taken_for_what_waits():
    one = runner(concurrency=4)
    hold(one, 2)
    assert one.take_slots() == 2
    hold(one, 10)
    assert one.take_slots() == 2
    assert one.take_slots() == 0
    assert not one.leave_slot()
    one.take_unstarted()
    assert one.leave_slot()
    assert one.active == 3


def test_tiny_work_gets_one_slot_until_it_waits():
    one = runner(concurrency=4)
    one.note_seconds(0.000_005, 1)
    hold(one, 100)
    assert one.take_slots() == 1
    assert one.take_slots() == 0
    assert one.take_slots(is_late=True) == 3


def test_one_slow_attempt_does_not_outweigh_many_quick_ones():
    one = runner()
    one.note_seconds(1.0, 1000)
    one.note_seconds(1.0, 1)
    assert one.average < 0.2
    one.note_seconds(2.0, 1000)
    assert one.average == pytest.approx(0.002, rel=0.5)


# Paces.


def test_a_new_pace_pops_at_once():
    assert Pace().is_due(0.0)


def test_a_pace_waits_once_it_sleeps():
    pace = Pace()
    pace.begin(0.0)
    assert pace.rest(0.0)  # to sleep
    pace.sleep()
    assert not pace.is_due(0.0)
    assert pace.next_at() == float("inf")


def test_a_backlog_that_is_worked_off_is_no_stream():
    pace = Pace()
    for tick in range(30):
        pace.begin(tick / 10)
        pace.note_pop(tick / 10, claims=1000, is_exhausted=False)
    pace.note_pop(3.0, claims=10, is_exhausted=True)
    assert not pace.is_busy(3.0)
    assert pace.rest(3.0)  # to sleep: nothing comes when it is done


def test_a_few_tasks_a_second_leave_a_runner_among_the_sleepers():
    pace = Pace()
    pace.sleep()
    for tick in range(100):
        pace.note_pop(tick / 10, claims=1, is_exhausted=True)
        assert not pace.is_busy(tick / 10)


def test_a_backlog_of_a_quarter_of_a_second_makes_a_runner_busy():
    pace = Pace()
    pace.note_pop(0.0, claims=1, is_exhausted=False)
    assert not pace.is_busy(0.2)
    assert pace.is_busy(0.25)
    pace.note_pop(0.25, claims=1, is_exhausted=True)
    assert not pace.is_busy(0.5)


def test_who_worked_off_a_backlog_sleeps():
    pace = Pace()
    pace.sleep()
    for tick in range(30):
        pace.note_pop(tick / 100, claims=1000, is_exhausted=False)
    assert not pace.has_backlog  # looks see to it
    pace.wake(0.3)
    assert pace.has_backlog
    pace.note_pop(0.31, claims=10, is_exhausted=True)
    assert not pace.has_backlog
    assert pace.rest(0.31)  # to sleep


def test_looks_see_to_a_runner_whose_pop_was_refused():
    pace = Pace()
    pace.note_pop(0.0, claims=5, is_exhausted=False)
    assert pace.has_backlog
    pace.put_off(5.0)
    assert not pace.has_backlog


def test_a_runner_sleeps_on_through_an_outage_but_not_under_another_lease():
    pace = Pace()
    pace.sleep()
    pace.start_again()
    assert pace.is_due(0.0)
    assert pace.is_asleep
    pace.forget_sleep()
    assert not pace.is_asleep


def test_who_was_busy_does_not_poll_for_a_few_tasks_a_second():
    pace = Pace()
    pace.sleep()
    pace.note_pop(0.0, claims=1000, is_exhausted=False)
    pace.wake(1.0)
    for tick in range(11, 15):
        pace.note_pop(tick / 10, claims=1, is_exhausted=True)
    assert pace.rest(1.4)  # to sleep


def test_who_leaves_the_sleepers_pops_again():
    pace = Pace()
    pace.sleep()
    for tick in range(26):
        pace.begin(tick / 100)
        pace.note_pop(tick / 100, claims=3, is_exhausted=True)
        assert not pace.rest(tick / 100)
    assert not pace.is_due(0.26)
    pace.wake(0.26)
    assert pace.is_due(0.26)


def test_a_stream_that_slow_pops_find_by_the_hundred_is_one():
    pace = Pace()
    pace.note_pop(100.0, claims=0, is_exhausted=True)
    pace.sleep()
    pace.note_pop(110.0, claims=700, is_exhausted=True)
    assert not pace.is_busy(110.0)  # so far it may have been a bulk
    for tick in range(1, 4):
        pace.note_pop(110 + tick / 10, claims=500, is_exhausted=True)
    assert pace.is_busy(110.3)
    pace.wake(110.3)
    for tick in range(4, 40):
        pace.begin(110 + tick / 10 - 0.05)
        pace.note_pop(110 + tick / 10, claims=500, is_exhausted=True)
        assert not pace.rest(110 + tick / 10)  # it polls: more will come


def test_a_stream_that_ended_leaves_a_runner_among_the_sleepers():
    pace = Pace()
    pace.sleep()
    for tick in range(26):
        pace.note_pop(tick / 100, claims=3, is_exhausted=True)
    assert not pace.is_busy(1.0)


def test_a_stream_takes_a_runner_out_of_the_sleepers_soon_but_not_at_once_again():
    pace = Pace()
    pace.sleep()
    for tick in range(26):
        pace.note_pop(tick / 100, claims=1, is_exhausted=True)
        assert not pace.is_busy(tick / 100)  # a hundred a second are no stream
    for tick in range(26, 60):
        pace.note_pop(tick / 100, claims=3, is_exhausted=True)
    assert pace.is_busy(0.6)
    pace.wake(0.6)
    pace.sleep()
    for tick in range(60, 85):
        pace.note_pop(tick / 100, claims=3, is_exhausted=True)
        assert not pace.is_busy(tick / 100)
    assert pace.is_busy(0.85)


def test_a_burst_is_a_stream_before_its_rate_is_known():
    pace = Pace()
    pace.note_pop(100.0, claims=0, is_exhausted=True)
    pace.sleep()
    for tick in range(11):
        assert not pace.is_busy(100 + tick / 1000)
        pace.note_pop(100 + tick / 1000, claims=5, is_exhausted=True)
    assert pace.is_busy(100.01)
    pace.wake(100.01)
    assert not pace.rest(100.01)  # it polls: more will come


def test_a_stream_of_single_tasks_is_polled_for_until_it_ends():
    pace = Pace()
    for tick in range(200):
        pace.note_pop(tick / 100, claims=3, is_exhausted=True)
    assert pace.is_busy(2.0)
    pace.wake(2.0)
    pace.begin(2.0)
    assert not pace.rest(2.0)
    assert pace.next_at() == pytest.approx(2.005)
    assert not pace.rest(2.1)  # a pop that took 100 ms, since others were before it
    assert pace.next_at() == pytest.approx(2.5)
    for _ in range(4):
        pace.note_pop(2.0, claims=0, is_exhausted=True)
    assert not pace.is_busy(2.0)
    assert pace.rest(2.0)  # to sleep


PLACE = Place(5, "2026-01-01", 7)
REACHED = Popped(claims=(), is_exhausted=False, place=PLACE)


def test_pops_go_on_from_where_the_last_got_to_for_a_second():
    pace = Pace()
    pace.begin(0.0)
    assert pace.aim(0.0)[1] is None
    assert not pace.has_left_out
    pace.note_place(REACHED, 0.01)
    pace.begin(0.9)
    assert pace.aim(0.9)[1] == PLACE
    assert pace.has_left_out  # and so it does not rest after this pop, whatever it found
    pace.note_place(REACHED, 0.95)
    pace.begin(1.02)
    assert pace.aim(1.02)[1] is None


def test_slow_pops_do_not_put_off_the_look_from_the_start():
    pace = Pace()
    now, looks = 0.0, []
    while now < 20:
        pace.begin(now)
        if pace.aim(now)[1] is None:
            looks.append(now)
        now += 0.03
        pace.note_place(REACHED, now)
    gaps = [later - earlier for earlier, later in itertools.pairwise(looks)]
    assert max(gaps) < 1.1


@pytest.mark.parametrize(("seconds", "until"), [(0.1, 2.1), (10.0, 15.0)])
def test_looking_from_the_start_is_done_less_often_when_it_takes_long(seconds, until):
    pace = Pace()
    pace.begin(0.0)
    pace.note_place(REACHED, seconds)
    assert pace.aim(until - 0.01)[1] == PLACE
    assert pace.aim(until + 0.01)[1] is None


def test_a_pop_that_tells_no_place_is_followed_by_one_from_the_start():
    pace = Pace()
    pace.begin(0.0)
    pace.note_place(REACHED, 0.01)
    pace.begin(0.02)
    pace.note_place(Popped(claims=(), is_exhausted=False), 0.03)
    assert pace.aim(0.04)[1] is None


def test_a_pop_that_saw_everything_is_followed_by_one_from_the_start():
    pace = Pace()
    pace.begin(0.0)
    pace.note_place(Popped(claims=(), place=PLACE), 0.01)
    assert pace.aim(0.02)[1] is None


def test_pops_that_pass_a_key_over_have_a_place_of_their_own():
    pace = Pace()

    def begin(now):
        pace.begin(now)
        return pace.aim(now)

    superseding = Popped(claims=(), superseded=1000, blocked=("hot",), is_exhausted=False)
    for round_ in range(9):
        now = round_ / 2
        assert begin(now) == ((), None)  # the next requests of the key are the first of all
        pace.note_place(superseding, now)
        pace.pass_over(("hot",), now)
        assert begin(now) == (("hot",), PLACE if round_ else None)
        # Even from what was all that there was, or from nothing, the next of these goes on.
        pace.note_place(Popped(claims=(), place=None if round_ % 2 else PLACE), now)


def test_a_freed_key_is_looked_for_from_the_start_by_pops_that_pass_another_over():
    pace = Pace()
    for at in (0.0, 0.1):
        pace.begin(at)
        pace.pass_over(("hot",), at)
        pace.aim(at)
        pace.note_place(REACHED, at)
    pace.block(["waits"], 0.1)
    assert pace.end(["waits"], retry_at=math.inf)
    pace.pass_over(("hot",), 0.2)
    assert pace.aim(0.2) == (("hot",), None)


def test_a_pop_that_only_superseded_is_followed_by_one_that_sees_little():
    pace = Pace()
    seen = []
    hot = Popped(claims=(), superseded=500, blocked=("hot",), is_exhausted=False)
    mixed = replace(hot, claims=(claim(),))
    for popped in (hot, REACHED, hot, mixed, hot):
        pace.begin(0.0)
        if popped is REACHED:
            pace.pass_over(("hot",), 0.0)
        pace.aim(0.0)
        seen.append(pace.is_superseding)
        pace.note_place(popped, 0.0)
    assert seen == [False, False, True, True, False]


def test_a_key_is_passed_over_once():
    pace = Pace()
    pace.begin(0.0)
    pace.pass_over(("hot",), 0.0)
    assert pace.aim(0.0)[0] == ("hot",)
    assert pace.has_left_out
    pace.begin(0.1)
    assert pace.aim(0.1)[0] == ()
    assert not pace.has_left_out


def test_short_pops_pass_a_key_over_every_fiftieth_of_a_second_only():
    pace = Pace()
    keys = []
    for millis in range(0, 60, 5):
        pace.begin(millis / 1000)
        pace.pass_over(("hot",), millis / 1000)
        keys.append(pace.aim(millis / 1000)[0])
    assert [index for index, left_out in enumerate(keys) if left_out] == [0, 4, 8]


def test_the_first_retry_sets_the_timer():
    pace = Pace()
    pace.begin(0.0)
    pace.end([], retry_at=5.0)
    pace.end([], retry_at=3.0)
    pace.end([], retry_at=float("inf"))
    assert pace.next_at() == 3.0
    assert not pace.is_due(2.9)
    assert pace.is_due(3.0)
    pace.begin(3.0)
    assert not pace.is_due(3.1)


def test_blocked_keys_are_skipped_for_a_moment_or_until_they_end_here():
    pace = Pace()
    assert pace.block(["a", "b"], 0.0)
    assert not pace.block(["a"], 0.0)
    assert set(pace.aim(0.05)[0]) == {"a", "b"}
    assert pace.end(["a"], retry_at=float("inf"))
    assert pace.aim(0.05)[0] == ("b",)
    assert not pace.end(["a"], retry_at=float("inf"))
    assert pace.aim(0.2)[0] == ()


def test_a_limit_is_asked_for_less_and_less_often():
    pace = Pace()
    waits = []
    for _ in range(8):
        pace.begin(0.0)
        pace.put_off_limited(0.0, longest=1.0)
        waits.append(pace._due_at)
    assert waits == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0])
    pace.note_pop(0.0, claims=1, is_exhausted=False)
    pace.put_off_limited(0.0, longest=1.0)
    assert pace._due_at == 0.05


def test_suspects_and_others_alternate():
    pace = Pace()
    assert pace.note_suspects(2, 0.0)
    assert pace.wants_suspect
    pace.note_suspect_turn(0.0, got_one=True)
    assert (pace.wants_suspect, pace.is_quarantined) == (False, True)
    pace.is_quarantined = False
    assert pace.note_suspects(1, 0.0)
    pace.note_suspect_turn(0.0, got_one=False)
    # None could be had: the others go on for a while.
    assert not pace.note_suspects(1, 0.5)
    assert pace.note_suspects(1, 1.5)


def test_a_pop_takes_as_long_as_it_was_tried():
    pace = Pace()
    for began, ended, claims in [(10.0, 10.05, 0), (10.15, 10.2, 0), (10.3, 10.4, 7)]:
        pace.begin(began)
        pace.note_pop(ended, claims=claims, is_exhausted=False)
    assert pace.pop_seconds == pytest.approx(0.4 / 4)
    pace.begin(11.0)
    pace.note_pop(11.1, claims=0, is_exhausted=True)
    assert pace.pop_seconds == pytest.approx(0.1)


def test_an_hour_of_waiting_is_not_taken_for_a_slow_pop():
    pace = Pace()
    pace.begin(0.0)
    pace.note_pop(0.05, claims=0, is_exhausted=False)
    pace.begin(3600.0)
    pace.note_pop(3600.1, claims=1, is_exhausted=False)
    assert pace.pop_seconds <= 0.125
