"""The writer: actions in turn, in a thread of their own, whatever they raise."""

from __future__ import annotations

import threading

from fix_wait import wait_until

from esync.errors import DriverUnavailableError, StateError
from esync.snapshot import ActionResult, ActionVerb
from esync_tui.messages import ActionEnded, ActionFailed
from esync_tui.writer import Job, Writer


def perform(*works):
    posted = []
    writer = Writer(post=posted.append)
    writer.start()
    for number, work in enumerate(works):
        writer.submit(Job(label=f"job {number}", work=work))
    writer.stop()
    writer.join(timeout=5)
    assert not writer.is_alive()
    return posted


def raising(exc):
    def work():
        raise exc

    return work


def done():
    return ActionEnded(ActionResult(verb=ActionVerb.REQUEUE))


def test_jobs_are_performed_in_turn_before_the_writer_stops():
    assert [type(message) for message in perform(done, done)] == [ActionEnded, ActionEnded]


def test_an_error_is_told_and_the_next_job_is_performed():
    failed, ended = perform(raising(StateError("cannot cancel C-1: it is DONE")), done)
    assert isinstance(failed, ActionFailed)
    assert failed.text == "job 0: cannot cancel C-1: it is DONE"
    assert isinstance(ended, ActionEnded)


def test_a_database_that_is_away_has_not_done_it():
    (failed,) = perform(raising(DriverUnavailableError("refused")))
    assert failed.text == "job 0: not done: refused"


def test_a_lost_reply_is_told_as_unknown():
    (failed,) = perform(raising(DriverUnavailableError("closed", is_ambiguous=True)))
    assert failed.text == "job 0: unknown whether it was done, look (r): closed"


def test_a_bug_is_told_as_unknown_and_ends_nothing():
    failed, ended = perform(raising(ZeroDivisionError("\x1b[2J")), done)
    assert failed.text == "job 0: unknown whether it was done, look (r): ␛[2J"
    assert isinstance(ended, ActionEnded)


def test_what_is_under_way_is_told():
    release = threading.Event()
    writer = Writer(post=lambda _message: None)
    assert writer.busy_with is None

    def work():
        release.wait(5)
        return done()

    writer.start()
    writer.submit(Job(label="requeue 412", work=work))
    assert writer.busy_with == "requeue 412"
    release.set()
    wait_until(lambda: writer.busy_with is None)
    writer.stop()
    writer.join(timeout=5)
