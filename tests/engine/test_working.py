"""Popping, performing and finishing in the right order and number."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace

from fix_engine import BY, FaultyDriver, stays
from fix_wait import wait_until

from esync.driver import POP_LIMIT, Place, Popped, RunnerInfo, WorkerInfo
from esync.engine.popper import HOARD_SECONDS
from esync.errors import DriverUnavailableError
from esync.task import new_task_id


class Crowd:
    """A handler that counts how many of it run at once."""

    def __init__(self, gate=None):
        self._lock = threading.Lock()
        self._gate = gate or threading.Event()
        self.now = self.most = self.count = 0
        self.keys = []

    def do(self, task):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self._gate.wait(0.02)
        with self._lock:
            self.now -= 1
            self.count += 1
            self.keys.append(task.key)


def add_many(bench, name, count, **data):
    bench.producer.add_tasks((name, f"k{number}", data) for number in range(count))


def crash(driver, name):
    """Let another worker take a task and die with it."""
    worker_id = new_task_id()
    info = WorkerInfo(worker_id=worker_id, host="h", pid=1, slots=1, lease=30.0, version="0")
    driver.register(info, [RunnerInfo(name=name, slots=1)])
    claims = driver.pop(name, worker_id=worker_id, count=10).claims
    assert len(claims) == 1
    driver.leave(worker_id)
    assert driver.rescue(max_crashes=5).retried == 1
    return claims[0].task_id


def test_all_slots_are_used_and_no_more(bench):
    crowd = bench.handle("work", Crowd(), concurrency=3)
    add_many(bench, "work", 30)
    bench.start()
    wait_until(lambda: crowd.count == 30)
    assert crowd.most == 3
    assert sorted(crowd.keys) == sorted(f"k{number}" for number in range(30))


def test_no_op_tasks_are_popped_by_the_hundred(bench):
    driver = bench.driver
    pops = []
    real = driver.pop
    driver.pop = lambda name, **options: pops.append(options["count"]) or real(name, **options)
    bench.handle("work", lambda _task: None)
    add_many(bench, "work", 3000)
    bench.start()
    wait_until(lambda: driver.get_task_count() == 0, 30)
    assert max(pops) > 100
    assert max(pops) <= POP_LIMIT


def test_slow_handlers_are_claimed_one_by_one(bench):
    gate = bench.gate()
    bench.handle("work", lambda _task: gate.wait(), concurrency=2)
    bench.handle("other", lambda _task: None)
    add_many(bench, "work", 20)
    bench.start()
    wait_until(lambda: bench.manager.running == 2)
    done = bench.add("other")
    bench.wait_state(done, "DONE")
    (state,) = [one for one in bench.manager.snapshot() if one.name == "work"]
    assert (state.in_flight, state.buffered) == (2, 0)


def test_only_the_newest_request_is_performed(bench):
    seen = []
    bench.handle("work", lambda task: seen.append(task.data["n"]))
    ids = [bench.add("work", "k", {"n": number}) for number in range(5)]
    bench.start()
    bench.wait_state(ids[-1], "DONE")
    assert seen == [4]
    assert {bench.state(task_id) for task_id in ids[:-1]} == {"CANCELLED"}
    assert bench.message(ids[0]) == f"Superseded by {ids[-1]}"


def test_a_request_made_during_an_attempt_is_performed_afterwards(bench):
    gate, seen = bench.gate(), []

    def handler(task):
        seen.append(task.data["n"])
        if task.data["n"] == 1:
            gate.wait()

    bench.handle("work", handler)
    bench.start()
    first = bench.add("work", "k", {"n": 1})
    wait_until(lambda: seen == [1])
    second = bench.add("work", "k", {"n": 2})
    other = bench.add("work", "other", {"n": 0})
    bench.wait_state(other, "DONE")
    assert bench.state(second) == "READY"
    gate.set()
    bench.wait_state(second, "DONE")
    assert bench.state(first) == "DONE"
    assert seen == [1, 0, 2]


def test_a_request_for_the_key_follows_its_end_at_once(make_bench, driver):
    bench = make_bench(driver, poll=5.0)
    gate, seen = bench.gate(), []

    def handler(task):
        seen.append(task.data["n"])
        if task.data["n"] == 1:
            gate.wait()

    bench.handle("work", handler)
    bench.start()
    bench.add("work", "k", {"n": 1})
    wait_until(lambda: seen == [1])
    second = bench.add("work", "k", {"n": 2})
    wait_until(lambda: bench.manager._engine._runners["work"].pace._blocked, 2)
    gate.set()
    bench.wait_state(second, "DONE", timeout=1)


def test_a_task_made_by_its_own_handler_is_performed_next(bench):
    seen = []

    def handler(task):
        seen.append(task.data["n"])
        if task.data["n"] < 3:
            bench.add("work", task.key, {"n": task.data["n"] + 1})

    bench.handle("work", handler)
    bench.start()
    bench.add("work", "k", {"n": 1})
    wait_until(lambda: seen == [1, 2, 3])


def test_a_new_task_wakes_a_sleeping_runner(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty, poll=30.0)
    bench.handle("work", lambda _task: None)
    bench.start()
    wait_until(lambda: faulty.calls_of("sleep"))
    wait_until(lambda: not bench.manager._engine._popper._look_times)  # those after falling asleep
    for number in range(3):
        task_id = bench.add("work", str(number))
        bench.wait_state(task_id, "DONE", timeout=2)


def test_polling_does_without_wake_ups(make_bench, driver):
    faulty = FaultyDriver(driver)
    faulty.__dict__["listen"] = lambda: None
    bench = make_bench(faulty)
    bench.handle("work", lambda _task: None)
    bench.start()
    wait_until(lambda: faulty.calls_of("sleep"))
    bench.wait_state(bench.add("work"), "DONE", timeout=3)


def test_an_idle_worker_asks_once_per_poll(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty, poll=0.1)
    names = [f"work{number}" for number in range(20)]
    for name in names:
        bench.handle(name, lambda _task: None)
    bench.start()
    wait_until(lambda: faulty.calls_of("sleep"))
    looks = faulty.calls_of("look")
    wait_until(lambda: faulty.calls_of("look") >= looks + 5)
    assert faulty.calls_of("pop") == len(names)
    assert faulty.calls_of("sleep") == 1


def test_looks_do_not_probe_what_a_busy_runner_pops_anyway(make_bench, memory):
    faulty, busy = FaultyDriver(memory), []

    def look(names, **options):
        busy.append(set(options["busy"]))
        return memory.look(names, **options)

    faulty.__dict__["look"] = look
    bench = make_bench(faulty, poll=0.05)
    for name in ("work", "rest"):
        bench.handle(name, lambda _task: time.sleep(0.001), concurrency=1)
    add_many(bench, "work", 2000)
    bench.start()
    wait_until(lambda: {"work"} in busy)
    wait_until(lambda: not busy[-1])


def delay_whole_looks(memory, seconds):
    """Have the store need so long for a whole look."""
    real = memory.look

    def look(names, **options):
        is_whole = options["due_within"] is None
        return real(names, **options)._replace(seconds=seconds if is_whole else 0.0)

    memory.look = look


def looks(faulty):
    """Return of every look, the last ones last, whether it was a whole one."""
    calls = list(faulty.calls)
    return [kwargs["due_within"] is None for method, (_, kwargs) in calls if method == "look"]


def start_slow_looks(make_bench, memory, seconds):
    """Start a worker whose whole looks take so long; return it once the others are between them."""
    delay_whole_looks(memory, seconds)
    faulty = FaultyDriver(memory)
    bench = make_bench(faulty, poll=0.05)
    bench.handle("work", lambda _task: None)
    bench.start()
    wait_until(lambda: len(looks(faulty)) > 10 and not any(looks(faulty)[-10:]))
    return bench, faulty


def test_whole_looks_that_take_long_are_far_between(make_bench, memory):
    _, faulty = start_slow_looks(make_bench, memory, 0.02)
    wait_until(lambda: looks(faulty)[-1])


def test_whole_looks_that_take_no_time_come_with_every_poll(make_bench, memory):
    faulty = FaultyDriver(memory)
    bench = make_bench(faulty, poll=0.05)
    bench.handle("work", lambda _task: None)
    bench.start()
    wait_until(lambda: looks(faulty)[-5:] == [True] * 5)


def test_a_whole_look_that_failed_is_made_again(make_bench, memory):
    bench, faulty = start_slow_looks(make_bench, memory, 1.0)
    faulty.fail("look", *[DriverUnavailableError("away")] * 3)
    bench.manager._engine._looker.prod()
    wait_until(lambda: not faulty.before["look"])
    # Without a reason it would be made five seconds after the one before.
    wait_until(lambda: looks(faulty)[-1], 3)


def test_a_worker_that_fell_asleep_looks_again_soon(make_bench, driver):
    faulty = FaultyDriver(driver)
    faulty.__dict__["listen"] = lambda: None
    bench = make_bench(faulty, poll=30.0)
    bench.handle("work", lambda _task: None)
    bench.start()
    wait_until(lambda: faulty.calls_of("sleep"))
    bench.wait_state(bench.add("work"), "DONE", timeout=3)


def test_runners_that_could_not_be_written_in_try_again(make_bench, driver):
    faulty = FaultyDriver(driver)
    faulty.fail("sleep", DriverUnavailableError("away"))
    bench = make_bench(faulty)
    bench.handle("work", lambda _task: None)
    bench.start()
    wait_until(lambda: faulty.calls_of("sleep") >= 2)


def test_a_worker_that_stops_leaves_the_sleepers(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty)
    bench.handle("work", lambda _task: None)
    bench.start()
    wait_until(lambda: faulty.calls_of("sleep"))
    assert not faulty.calls_of("wake")
    bench.manager.stop()
    wait_until(lambda: faulty.calls_of("wake"))


def test_a_busy_runner_leaves_the_sleepers(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty)
    bench.handle("work", lambda _task: time.sleep(0.001), concurrency=1, limit=1)
    bench.start()
    wait_until(lambda: faulty.calls_of("sleep"))
    add_many(bench, "work", 1000)
    wait_until(lambda: faulty.calls_of("wake"))


def test_a_paused_runner_leaves_the_sleepers_and_comes_back(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty)
    bench.handle("work", lambda _task: None)
    bench.start()
    wait_until(lambda: faulty.calls_of("sleep"))
    bench.driver.pause(["work"], by=BY)
    wait_until(lambda: faulty.calls_of("wake"))
    slept = faulty.calls_of("sleep")
    bench.driver.resume(["work"], by=BY)
    wait_until(lambda: faulty.calls_of("sleep") > slept)
    bench.wait_state(bench.add("work"), "DONE")


def test_a_delayed_task_starts_when_it_is_due(make_bench, driver):
    bench = make_bench(driver, poll=0.2)
    bench.handle("work", lambda _task: None)
    bench.start()
    task_id = bench.add("work", after=0.4)
    bench.wait_state(task_id, "DONE", timeout=2)


def test_a_retry_comes_back_without_a_look(make_bench, driver):
    bench = make_bench(driver, poll=30.0)

    def handler(task):
        if task.attempt < 4:
            raise ValueError

    bench.handle("work", handler, interval=0.05)
    bench.start()
    task_id = bench.add("work")
    detail = bench.wait_state(task_id, "DONE", timeout=3)
    assert detail.row.attempts == 4


def test_the_cluster_limit_holds_across_workers(make_bench, driver):
    crowd = Crowd()
    benches = [make_bench(driver) for _ in range(3)]
    for bench in benches:
        bench.handle("work", crowd, concurrency=4, limit=2)
    add_many(benches[0], "work", 24)
    for bench in benches:
        bench.start()
    wait_until(lambda: crowd.count == 24, 20)
    assert crowd.most == 2


def test_a_stream_runs_one_thing_at_a_time(bench):
    crowd = Crowd()
    bench.handle("work", crowd, stream="netsuite")
    bench.handle("more", crowd, stream="netsuite")
    add_many(bench, "work", 6)
    add_many(bench, "more", 6)
    bench.start()
    wait_until(lambda: crowd.count == 12, 20)
    assert crowd.most == 1


def test_two_workers_share_the_work_and_repeat_nothing(make_bench, driver):
    crowd = Crowd()
    benches = [make_bench(driver) for _ in range(2)]
    for bench in benches:
        bench.handle("work", crowd, concurrency=8)
    add_many(benches[0], "work", 200)
    for bench in benches:
        bench.start()
    wait_until(lambda: crowd.count >= 200)
    wait_until(lambda: driver.get_task_count() == 0)
    assert len(set(crowd.keys)) == crowd.count == 200


def let_others_pop(memory, held):
    """Have another worker pop for some names all the time; return when it was in the way."""
    real, times = memory.pop, []

    def pop(name, **options):
        if name in held:
            times.append(time.monotonic())
            return Popped(claims=(), is_exhausted=False, is_held=True)
        return real(name, **options)

    memory.pop = pop
    return times


def test_pops_that_waited_in_vain_become_rare(make_bench, memory):
    names = {f"work{number}" for number in range(10)}
    times = let_others_pop(memory, names)
    bench = make_bench(memory)
    for name in names:
        bench.handle(name, lambda _task: None)
    bench.start()
    wait_until(lambda: len(times) >= len(names) + 4)
    waits = [after - before for before, after in itertools.pairwise(times[len(names) - 1 :])]
    assert all(wait >= 0.4 for wait in waits)


def test_a_name_is_served_beside_others_whose_pops_wait_in_vain(make_bench, memory):
    held = {f"work{number}" for number in range(10)}
    times = let_others_pop(memory, held)
    bench = make_bench(memory)
    for name in held:
        bench.handle(name, lambda _task: None)
    in_vain = []
    bench.handle("rare", lambda _task: in_vain.append(len(times)))
    waiting = [bench.add(name) for name in held]
    bench.start()
    wait_until(lambda: len(times) >= len(waiting))
    for number in range(5):
        before = len(times)
        bench.wait_state(bench.add("rare", str(number)), "DONE")
        assert in_vain[-1] - before <= 2
    held.clear()
    for task_id in waiting:
        bench.wait_state(task_id, "DONE")


def test_an_end_is_noticed_after_a_pop_that_waited_in_vain(make_bench, memory, monkeypatch):
    monkeypatch.setattr("esync.engine.pace._FIRST_LIMITED_WAIT", 30.0)
    held = set()
    times = let_others_pop(memory, held)
    bench = make_bench(memory, poll=30.0)
    gate = bench.gate()
    bench.handle("work", lambda _task: gate.wait() and None, limit=1)
    bench.start()
    bench.add("work", "first")
    wait_until(lambda: bench.manager.running)
    wait_until(lambda: not bench.manager._engine._popper._look_times)
    held.add("work")
    second = bench.add("work", "second")
    wait_until(lambda: times)
    wait_until(lambda: bench.manager._engine._runners["work"].pace.waits_for_end)
    held.clear()
    gate.set()
    bench.wait_state(second, "DONE", timeout=5)


def test_a_pop_that_waited_in_vain_keeps_the_place_of_the_one_before(make_bench, memory):
    real, places = memory.pop, []
    there = Place(5, "2026-01-01 00:00:00+00", 7)

    def pop(name, **options):
        places.append(options["after"])
        if len(places) == 2:
            return Popped(claims=(), is_exhausted=False, is_held=True)
        popped = real(name, **options)
        return replace(popped, place=there, is_exhausted=False) if len(places) == 1 else popped

    memory.pop = pop
    bench = make_bench(memory)
    bench.handle("work", lambda _task: None, concurrency=1)
    add_many(bench, "work", 100)
    bench.start()
    wait_until(lambda: len(places) >= 3)
    assert places[:3] == [None, there, there]


def test_no_name_starves_beside_a_busy_one(bench):
    bench.handle("busy", lambda _task: None)
    bench.handle("rare", lambda _task: None)
    add_many(bench, "busy", 2000)
    bench.start()
    task_id = bench.add("rare")
    bench.wait_state(task_id, "DONE", timeout=3)


def test_prefetched_tasks_that_wait_are_released(bench):
    gate = bench.gate()
    quick = threading.Event()

    def handler(task):
        if quick.is_set():
            gate.wait()
        if task.key == "k500":
            quick.set()

    bench.handle("work", handler, concurrency=2)
    add_many(bench, "work", 2000)
    bench.start()
    wait_until(quick.is_set)

    def state():
        return bench.manager.snapshot()[0]

    wait_until(lambda: state().in_flight == 2, HOARD_SECONDS + 5)
    assert state().buffered == 0
    gate.set()
    wait_until(lambda: bench.driver.get_task_count() == 0, 20)


def test_a_released_task_keeps_its_tries(bench):
    gate = bench.gate()
    seen = []

    def handler(task):
        seen.append(task.key)
        if len(seen) > 100:
            gate.wait()

    bench.handle("work", handler, concurrency=1)
    add_many(bench, "work", 1000)
    bench.start()
    wait_until(lambda: len(seen) == 101)
    wait_until(lambda: bench.manager.snapshot()[0].in_flight == 1, HOARD_SECONDS + 5)
    waiting = [
        row
        for key in ("k900", "k999")
        for row in bench.driver.find_tasks(key)
        if row.state == "READY"
    ]
    assert waiting
    assert {row.tries for row in waiting} == {0}


def test_a_handler_that_turns_slow_gets_every_slot(bench):
    gate = bench.gate()
    slow = threading.Event()

    def handler(_task):
        if slow.is_set():
            gate.wait()

    bench.handle("work", handler, concurrency=4)
    add_many(bench, "work", 500)
    bench.start()
    wait_until(lambda: bench.driver.get_task_count() == 0, 20)
    slow.set()
    bench.producer.add_tasks(("work", f"slow{number}") for number in range(8))
    wait_until(lambda: bench.manager.running == 4)


def test_a_task_that_crashed_a_worker_runs_alone(make_bench, driver):
    bench = make_bench(driver)
    gate = bench.gate()
    seen = []
    crowd = Crowd()

    def handler(task):
        seen.append(task.key)
        if task.key == "suspect":
            gate.wait()
        else:
            crowd.do(task)

    bench.handle("work", handler, concurrency=4)
    bench.add("work", "suspect")
    suspect = crash(driver, "work")
    add_many(bench, "work", 8)
    bench.start()
    wait_until(lambda: "suspect" in seen)
    assert bench.manager.running == 1
    beside = len(seen)
    late = bench.add("work", "late")
    stays(lambda: (len(seen), bench.state(late)) == (beside, "READY"))
    gate.set()
    bench.wait_state(late, "DONE")
    detail = bench.wait_state(suspect, "DONE")
    assert detail.row.crashes == 0


def test_suspects_and_others_take_turns(make_bench, driver):
    bench = make_bench(driver)
    seen = []
    bench.handle("work", lambda task: seen.append(task.key), concurrency=2)
    for number in range(4):
        bench.add("work", f"suspect{number}")
        crash(driver, "work")
    add_many(bench, "work", 20)
    bench.start()
    wait_until(lambda: len(seen) == 24)
    # Neither waited for the last of the others.
    suspects = [at for at, key in enumerate(seen) if key.startswith("suspect")]
    assert suspects != list(range(4))
    assert suspects[0] < 20
    wait_until(lambda: driver.get_task_count() == 0)


def test_a_handler_that_runs_for_long_does_not_let_a_suspect_stop_the_others(
    make_bench, driver, monkeypatch
):
    monkeypatch.setattr("esync.engine.pace._DRAIN_SECONDS", 0.2)
    bench = make_bench(driver)
    gate = bench.gate()
    bench.handle("work", lambda task: gate.wait() if task.key == "long" else None, concurrency=2)
    bench.add("work", "suspect")
    suspect = crash(driver, "work")
    bench.add("work", "long", priority=0)
    bench.start()
    wait_until(lambda: bench.manager.running == 1)
    late = bench.add("work", "late")
    bench.wait_state(late, "DONE")
    assert bench.state(suspect) == "RETRY"
    gate.set()
    bench.wait_state(suspect, "DONE")


def test_priority_decides_what_is_first(bench):
    seen = []
    bench.handle("work", lambda task: seen.append(task.key), concurrency=1)
    for priority in (9, 5, 0):
        bench.add("work", f"p{priority}", priority=priority)
    bench.start()
    wait_until(lambda: len(seen) == 3)
    assert seen == ["p0", "p5", "p9"]


def test_a_bad_pop_of_one_name_does_not_stop_the_others(make_bench, driver, caplog):
    from esync.errors import DriverError  # noqa: PLC0415

    faulty = FaultyDriver(driver)
    bench = make_bench(faulty)
    bench.handle("bad", lambda _task: None)
    bench.handle("good", lambda _task: None)
    real = faulty.pop

    def pop(name, **options):
        if name == "bad":
            raise DriverError("refused")
        return real(name, **options)

    faulty.__dict__["pop"] = pop
    bench.start()
    bench.wait_state(bench.add("good"), "DONE")
    assert "runner bad: cannot pop" in caplog.text


def test_events_tell_of_every_attempt(bench):
    events = []
    bench.manager.on_event(events.append)
    detail = bench.perform(lambda _task: "fine")
    wait_until(lambda: len(events) >= 2)
    assert [event.kind for event in events] == ["started", "ended"]
    assert (events[1].task_id, events[1].state, events[1].message) == (
        detail.row.task_id,
        "DONE",
        "fine",
    )


def test_a_listener_that_raises_hurts_nobody(bench, caplog):
    def broken(_event):
        raise RuntimeError

    bench.manager.on_event(broken)
    assert bench.perform(lambda _task: None).row.state == "DONE"
    assert "event listener raised" in caplog.text
