"""When outcomes are written: at once, or together with those that follow."""

from __future__ import annotations

import time

import pytest
from fix_wait import wait_until

from esync.backoff import Backoff
from esync.engine import finisher as finishers
from esync.engine.finisher import Finisher
from esync.engine.held import Ended, Held
from esync.engine.lease import Lease
from esync.engine.outcome import plain_finish
from esync.engine.reporter import Reporter
from esync.engine.runner import Runner
from esync.engine.settings import HandlerSettings
from esync.task import TaskState
from esync.testing.harness import NAME, Worker, add


class Outcomes:
    """A finisher, the attempts whose outcomes it gets, and the sizes of its writes."""

    def __init__(self, driver, monkeypatch, *, tasks, **settings):
        self.sizes = []
        self.errors = []
        for number in range(tasks):
            add(driver, str(number))
        worker = Worker(driver)
        self.runner = Runner(NAME, print, HandlerSettings(backoff=Backoff(), **settings))
        lease = Lease(worker.id, until=time.monotonic() + 600)
        claims = worker.take(count=tasks)
        self.runner.hold(claims, lease=lease)
        self._ended = [self._end(Held(claim, lease, 0.0)) for claim in claims]
        write = driver.finish

        def finish(finishes, *, worker_id):
            recorded = write(finishes, worker_id=worker_id)
            self.sizes.append(len(recorded))
            return recorded

        monkeypatch.setattr(driver, "finish", finish)
        self.finisher = Finisher(
            driver,
            reporter=Reporter(driver, worker_id=lambda: worker.id, on_outage=self.errors.append),
            report=self.errors.append,
            prod=lambda _runner: None,
            on_outage=self.errors.append,
        )

    @property
    def next_key(self):
        """The key of the next attempt that is to end."""
        return self._ended[-1].held.claim.key

    def put(self, count=1):
        """Let the next attempts end."""
        for _ in range(count):
            self.finisher.put(self._ended.pop())

    def _end(self, held):
        finish = plain_finish(held.claim, TaskState.DONE, backoff=Backoff())
        return Ended(self.runner, held, finish, 0.0)


@pytest.fixture
def outcomes(driver, monkeypatch, cleanup):
    """Make a finisher that has written once and now lets outcomes gather."""
    monkeypatch.setattr(finishers, "_GATHER_RATIO", 1e9)

    def start(*, longest=600.0, **settings):
        monkeypatch.setattr(finishers, "_GATHER_LIMIT_SECONDS", longest)
        made = Outcomes(driver, monkeypatch, **settings)
        cleanup.callback(made.finisher.stop)
        made.finisher.start()
        made.put()
        wait_until(lambda: made.sizes == [1])
        return made

    return start


def test_outcomes_gather_after_a_write_until_there_are_enough(outcomes):
    made = outcomes(tasks=300)
    made.put(finishers._ENOUGH - 1)
    assert made.sizes == [1]
    made.put()
    wait_until(lambda: made.sizes == [1, finishers._ENOUGH])


def test_what_has_gathered_is_written_at_the_end(outcomes):
    made = outcomes(tasks=10)
    made.put(9)
    assert made.finisher.flush(30)
    assert made.sizes == [1, 9]
    assert not made.errors


def test_an_outcome_that_somebody_waits_for_takes_along_what_has_gathered(outcomes):
    made = outcomes(tasks=10)
    made.put(7)
    made.runner.pace.block(["another key"], time.monotonic())
    made.put(1)
    assert made.sizes == [1]
    made.runner.pace.block([made.next_key], time.monotonic())
    made.put()
    wait_until(lambda: made.sizes == [1, 9])


@pytest.mark.parametrize("settings", [{"limit": 8}, {"stream": "netsuite"}])
def test_outcomes_of_limited_runners_do_not_gather(outcomes, settings):
    made = outcomes(tasks=3, **settings)
    made.put()
    wait_until(lambda: made.sizes == [1, 1])
    made.put()
    wait_until(lambda: made.sizes == [1, 1, 1])


def test_outcomes_gather_no_longer_than_their_time(outcomes):
    made = outcomes(tasks=4, longest=0.05)
    made.put(2)
    wait_until(lambda: sum(made.sizes) == 3)
    made.put()
    wait_until(lambda: sum(made.sizes) == 4)
