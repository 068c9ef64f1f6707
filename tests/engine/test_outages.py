"""The database goes away and comes back; nothing is lost, repeated or said too often."""

from __future__ import annotations

import logging
import threading
import time

from fix_engine import FaultyDriver, stays
from fix_wait import wait_until

from esync.engine.held import Held
from esync.errors import (
    DriverError,
    DriverUnavailableError,
    HandlerError,
    LeaseLostError,
    OutcomeUnknownError,
    SchemaError,
)
from esync.task import Claim, new_task_id

AWAY = DriverUnavailableError("database away")
AMBIGUOUS = DriverUnavailableError("connection lost", is_ambiguous=True)


def test_work_goes_on_after_an_outage(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty, poll=0.1)
    bench.handle("work", lambda _task: None)
    bench.start()
    bench.wait_state(bench.add("work", "before"), "DONE")
    faulty.away = AWAY
    bench.error(DriverUnavailableError)
    during = bench.add("work", "during")
    faulty.away = None
    bench.wait_state(during, "DONE")


def test_an_outage_is_reported_once_and_warned_of_once_per_service(make_bench, memory, caplog):
    caplog.set_level(logging.INFO, "esync.engine")
    faulty = FaultyDriver(memory)
    bench = make_bench(faulty, poll=0.05)
    bench.handle("work", lambda _task: None)
    bench.start()
    wait_until(lambda: faulty.calls_of("look"))
    faulty.away = AWAY
    looks, beats = faulty.calls_of("look"), faulty.calls_of("beat")
    wait_until(lambda: faulty.calls_of("look") >= looks + 4)
    wait_until(lambda: faulty.calls_of("beat") >= beats + 2)
    assert bench.errors == [AWAY]
    warnings = [record.message for record in caplog.records if "trying again" in record.message]
    assert len(warnings) == len(set(warnings))
    faulty.away = None
    wait_until(lambda: "looker: the database is back" in caplog.text)
    wait_until(lambda: "presence: the database is back" in caplog.text)
    # A second outage is another one.
    faulty.away = AWAY
    wait_until(lambda: len(bench.errors) == 2)


def test_a_worker_that_stops_in_an_outage_does_not_say_that_it_is_over(make_bench, memory, caplog):
    caplog.set_level(logging.INFO, "esync.engine")
    faulty = FaultyDriver(memory)
    bench = make_bench(faulty, poll=0.05)
    bench.handle("work", lambda _task: None)
    bench.start()
    wait_until(lambda: faulty.calls_of("look"))
    faulty.away = AWAY
    for service in ("looker", "presence"):
        wait_until(lambda name=service: f"{name}: {AWAY}; trying again" in caplog.text)
    bench.manager.stop()
    assert "is back" not in caplog.text


def test_an_outage_makes_no_busy_loop(make_bench, memory):
    faulty = FaultyDriver(memory)
    bench = make_bench(faulty, poll=0.02)
    for number in range(10):
        bench.handle(f"work{number}", lambda _task: None)
    bench.start()
    wait_until(lambda: faulty.calls_of("look"))
    faulty.away = AWAY
    bench.error(DriverUnavailableError)
    calls = len(faulty.calls)
    began = time.monotonic()
    stays(lambda: True, 1.0)
    # Each of seven services may call some four times in the first second of its growing pauses.
    assert len(faulty.calls) - calls < 40 * (time.monotonic() - began)


def test_a_worker_that_starts_during_an_outage_waits(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty)
    bench.handle("work", lambda _task: None)
    faulty.away = AWAY
    task_id = bench.add("work")
    bench.start()
    bench.error(DriverUnavailableError)
    faulty.away = None
    bench.wait_state(task_id, "DONE")


def test_outcomes_are_kept_while_the_database_is_away(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty)
    calls = []
    bench.handle("work", lambda task: calls.append(task.key), concurrency=8)
    faulty.fail("finish", AWAY, AWAY, AWAY)
    ids = [bench.add("work", str(number)) for number in range(8)]
    bench.start()
    for task_id in ids:
        bench.wait_state(task_id, "DONE")
    assert len(calls) == 8


def test_a_finish_whose_reply_was_lost_is_repeated_and_no_error(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty)
    calls = []
    bench.handle("work", lambda task: calls.append(task.key))
    faulty.fail("finish", AMBIGUOUS, after=True)
    task_id = bench.add("work")
    bench.start()
    wait_until(lambda: faulty.calls_of("finish") >= 2)
    wait_until(lambda: bench.manager.snapshot()[0].in_flight == 0)
    assert bench.state(task_id) == "DONE"
    assert calls == ["k"]
    assert {type(error) for error in bench.errors} == {DriverUnavailableError}


def test_a_row_that_moved_on_after_a_lost_reply_is_unknown(make_bench, memory):
    faulty = FaultyDriver(memory)
    bench = make_bench(faulty)
    gate = bench.gate()

    def handler(task):
        if task.attempt > 1:
            gate.wait(20)
        raise ValueError

    bench.handle("work", handler, interval=0)
    real = memory.finish
    lost = []

    def finish(finishes, *, worker_id):
        recorded = real(finishes, worker_id=worker_id)
        if lost:
            return recorded
        lost.append(1)
        # The retry is due at once: another attempt begins before the write is repeated.
        memory.pop("work", worker_id=worker_id, count=1)
        raise AMBIGUOUS

    memory.finish = finish
    task_id = bench.add("work")
    bench.start()
    assert bench.error(OutcomeUnknownError).task_id == task_id
    assert not any(isinstance(error, LeaseLostError) for error in bench.errors)


def lose_a_pop(faulty, bench, key):
    """Let a pop claim a task and lose its reply."""
    wait_until(lambda: bench.manager.running or faulty.calls_of("sleep"))
    real, lost = faulty.pop, []

    def pop(name, **options):
        popped = real(name, **options)
        if popped.claims and not lost:
            lost.append(popped.claims[0].task_id)
            raise AMBIGUOUS
        return popped

    faulty.__dict__["pop"] = pop
    bench.add("work", key)
    return wait_until(lambda: lost)[0]


def test_a_claim_whose_reply_was_lost_is_performed_all_the_same(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty, lease=0.9, heartbeat=0.15)
    bench.handle("work", lambda _task: None)
    bench.start()
    old = bench.manager._engine.worker_id
    task_id = lose_a_pop(faulty, bench, "lost")
    detail = bench.wait_state(task_id, "DONE")
    assert bench.manager._engine.worker_id != old
    assert (detail.row.attempts, detail.row.crashes, detail.row.tries) == (2, 0, 0)


def test_what_runs_while_a_pops_reply_is_lost_goes_on(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty, lease=0.9, heartbeat=0.15)
    gate = bench.gate()
    bench.handle("work", lambda task: gate.wait() and None if task.key == "long" else None)
    long = bench.add("work", "long")
    bench.start()
    bench.wait_state(long, "IN PROGRESS")
    lost = lose_a_pop(faulty, bench, "lost")
    # The old id is kept for two more leases, since its handler still runs ...
    stays(lambda: bench.state(long) == "IN PROGRESS", 2.0)
    bench.wait_state(bench.add("work", "other"), "DONE")
    gate.set()
    # ... and leaves with its end, so that the lost claim is rescued.
    assert bench.wait_state(long, "DONE").row.attempts == 1
    assert bench.wait_state(lost, "DONE").row.attempts == 2
    wait_until(lambda: len(driver.list_workers()) == 1)
    assert not any(isinstance(error, LeaseLostError) for error in bench.errors)


def test_an_action_whose_reply_was_lost_runs_again(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty)
    runs = []
    bench.manager.schedule(lambda: runs.append(1), 0.1, name="tick")
    real, lost = faulty.begin_action, []

    def begin_action(name, **options):
        wait = real(name, **options)
        if wait is None and not lost:
            lost.append(1)
            raise AMBIGUOUS
        return wait

    faulty.__dict__["begin_action"] = begin_action
    bench.start()
    wait_until(lambda: lost and len(runs) >= 2)


def test_a_release_that_is_refused_does_not_stop_the_pops(make_bench, memory, caplog):
    faulty = FaultyDriver(memory)
    bench = make_bench(faulty)
    bench.handle("work", lambda _task: None)
    faulty.fail("release", DriverError("no"))
    bench.start()
    engine = bench.manager._engine
    held = Held(Claim(new_task_id(), "k", 1, 0, 0, "{}", None, None), engine._presence.lease, 0.0)
    engine.give_back(engine._runners["work"], held)
    wait_until(lambda: "1 tasks cannot be released" in caplog.text)
    bench.wait_state(bench.add("work"), "DONE")


def test_each_outage_is_reported_even_if_no_beat_failed(make_bench, memory):
    faulty = FaultyDriver(memory)
    bench = make_bench(faulty)
    bench.handle("work", lambda _task: None)
    bench.start()
    for count in (1, 2):
        faulty.fail("look", AWAY)
        wait_until(lambda count=count: len(bench.errors) == count)
        beats = faulty.calls_of("beat")
        wait_until(lambda beats=beats: faulty.calls_of("beat") >= beats + 2)


def test_a_batch_that_is_refused_is_written_singly(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty)
    gate = threading.Barrier(4)
    bench.handle("work", lambda task: (gate.wait(10) and None) or task.key, concurrency=4)
    faulty.fail("finish", DriverError("refused"))
    ids = [bench.add("work", str(number)) for number in range(4)]
    bench.start()
    for task_id in ids:
        bench.wait_state(task_id, "DONE")
    assert bench.errors == []


def test_an_outcome_that_is_refused_singly_gets_a_plain_message(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty)
    bench.handle("work", lambda _task: "refuse me")
    faulty.fail("finish", DriverError("refused"), DriverError("refused again"))
    task_id = bench.add("work")
    bench.start()
    assert bench.wait_state(task_id, "DONE").message == "(the message could not be stored)"
    assert bench.errors == []


def test_an_outcome_that_is_refused_for_good_is_reported_and_blocks_nobody(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty)
    bench.handle("work", lambda _task: None)
    refusal = DriverError("no")
    faulty.fail("finish", refusal, refusal, refusal)
    bad = bench.add("work", "bad")
    bench.start()
    assert bench.error(DriverError) is refusal
    bench.wait_state(bench.add("work", "good"), "DONE")
    assert bench.state(bad) == "IN PROGRESS"


def test_an_outage_between_single_writes_loses_nothing(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty)
    bench.handle("work", lambda _task: None)
    faulty.fail("finish", DriverError("refused"), AWAY, AWAY)
    task_id = bench.add("work")
    bench.start()
    bench.wait_state(task_id, "DONE")


def test_a_schema_that_is_missing_for_a_while_loses_nothing(make_bench, driver):
    faulty = FaultyDriver(driver)
    bench = make_bench(faulty)
    bench.handle("work", lambda _task: None)
    faulty.fail("finish", SchemaError("no table"), SchemaError("no table"))
    faulty.fail("pop", SchemaError("no table"))
    task_id = bench.add("work")
    bench.start()
    bench.wait_state(task_id, "DONE")


def test_a_lost_listener_is_replaced_and_everybody_looks(make_bench, memory):
    faulty = FaultyDriver(memory)
    bench = make_bench(faulty, poll=30.0)
    bench.handle("work", lambda _task: None)
    bench.start()
    wakeups = bench.manager._engine._wakeups
    listener = wait_until(lambda: wakeups._listener)
    wait_until(lambda: bench.manager._engine._runners["work"].pace.is_asleep)
    wait_until(lambda: not bench.manager._engine._popper._look_times)  # those after falling asleep

    def lost(_timeout):
        raise AWAY

    # A task comes in while nobody hears.
    listener.put = lambda _payload: None
    task_id = bench.add("work")
    listener.wait = lost
    with listener._changed:
        listener._changed.notify_all()
    bench.wait_state(task_id, "DONE", timeout=8)
    wait_until(lambda: wakeups._listener is not listener)  # a look of before may have come first


def test_releases_that_could_not_be_written_are_written_later(make_bench, memory):
    from fix_engine import BY  # noqa: PLC0415

    faulty = FaultyDriver(memory)
    bench = make_bench(faulty)
    gate, slow = bench.gate(), threading.Event()

    def handler(task):
        if task.key == "k300":
            slow.set()
            gate.wait()

    bench.handle("work", handler, concurrency=1)
    bench.producer.add_tasks(("work", f"k{number}") for number in range(1500))
    faulty.fail("release", AWAY, AWAY)
    bench.start()
    wait_until(slow.is_set)
    memory.pause(["work"], by=BY)
    wait_until(lambda: bench.manager.snapshot()[0].in_flight == 1)
    assert faulty.calls_of("release") >= 3


def test_counts_survive_an_outage(make_bench, memory):
    faulty = FaultyDriver(memory)
    bench = make_bench(faulty)
    faulty.fail("count", AWAY)
    bench.perform(lambda _task: None)
    wait_until(lambda: sum(memory.get_overview().names[0].done) == 1)


def test_handler_errors_do_not_look_like_outages(bench):
    def handler(_task):
        raise DriverUnavailableError("the handler's own database")

    bench.perform(handler)
    assert not any(isinstance(error, HandlerError) for error in bench.errors)
    assert bench.errors == []
