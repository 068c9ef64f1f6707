"""What the log says of attempts that are tried again."""

from __future__ import annotations

import logging

from fix_wait import wait_until

from esync.engine.complaints import Complaints
from esync.errors import Retry


def lines(caplog):
    return [r.getMessage() for r in caplog.records if "will be tried again" in r.getMessage()]


def test_the_first_failure_of_a_name_is_said_at_once(caplog):
    complaints = Complaints()
    complaints.note("work", count=1, message="busy")
    complaints.say()
    assert lines(caplog) == [
        "runner work: 1 attempt failed and will be tried again, the last: busy"
    ]


def test_more_failures_are_said_together_after_a_while(caplog):
    complaints = Complaints(interval=3600)
    for number in range(3):
        complaints.note("work", count=2, message=f"busy {number}")
        complaints.say()
    assert len(lines(caplog)) == 1
    complaints.say(is_last=True)
    assert lines(caplog)[1:] == [
        "runner work: 4 attempts failed and will be tried again, the last: busy 2"
    ]


def test_names_do_not_hide_each_other(caplog):
    complaints = Complaints()
    for name in ("work", "play"):
        complaints.note(name, count=1, message="")
        complaints.say()
    assert len(lines(caplog)) == 2


def test_a_message_is_one_harmless_line(caplog):
    complaints = Complaints()
    complaints.note("work", count=1, message="\x1b[2J\nsecond")
    complaints.say()
    (line,) = lines(caplog)
    assert line.isprintable()


def test_a_worker_says_that_its_attempts_fail(bench, caplog):
    def fail(_task):
        raise Retry("the target is busy")

    caplog.set_level(logging.WARNING)
    bench.handle("work", fail)
    bench.add("work")
    bench.start()
    wait_until(lambda: lines(caplog))
    assert "the target is busy" in lines(caplog)[0]
