"""What is wrong with the queue, told from one overview."""

from __future__ import annotations

import pytest
from fix_console import NOW, name_row, unread_row, worker_row

from esync.problems import Severity, failing_share, find_problems
from esync.snapshot import Count, Overview, Pause


def problems(*names, workers=(), **parts):
    overview = Overview(at=NOW, names=names, workers=workers, **parts)
    return [(problem.severity, problem.text) for problem in find_problems(overview)]


def waiting(seconds, **changes):
    return name_row("a", ready=Count(3), oldest_seconds=seconds, **changes)


def failing(done, failed):
    return name_row("a", done=(done,), failed_attempts=(failed,))


def test_a_calm_queue_has_no_problems():
    assert problems(waiting(10.0), workers=(worker_row(),)) == []


def test_a_due_name_without_a_live_worker_is_critical_at_once():
    assert problems(waiting(1.0, workers=0)) == [
        (Severity.CRITICAL, "a: no live worker, oldest waits 1s")
    ]


def test_a_name_that_was_never_registered_will_be_cancelled():
    assert problems(waiting(1.0, workers=0, is_known=False)) == [
        (Severity.WARNING, "a: no worker has ever registered it, its tasks will be cancelled")
    ]


@pytest.mark.parametrize(
    ("seconds", "severities"),
    [(299, []), (301, [Severity.WARNING]), (901, [Severity.CRITICAL])],
)
def test_the_oldest_due_task_may_wait_five_minutes(seconds, severities):
    assert [severity for severity, _ in problems(waiting(float(seconds)))] == severities


@pytest.mark.parametrize(
    ("done", "failed", "severities"),
    [
        (96, 4, []),
        (95, 5, [Severity.WARNING]),
        (80, 20, [Severity.CRITICAL]),
        (0, 19, []),
        (0, 20, [Severity.CRITICAL]),
        (0, 0, []),
    ],
)
def test_the_failing_share_counts_from_twenty_attempts_on(done, failed, severities):
    assert [severity for severity, _ in problems(failing(done, failed))] == severities


def test_the_failing_share_looks_at_the_last_five_minutes_only():
    row = name_row("a", done=(0, 1, 1, 1, 1, 1), failed_attempts=(100, 0, 0, 0, 0, 5))
    assert failing_share(row) == (0.5, 10)


def test_a_paused_name_is_a_problem_only_while_tasks_wait():
    pause = Pause(by="ana@desk", reason="limit", seconds=720.0, resumes_in=None)
    assert problems(name_row("a", pause=pause)) == []
    assert problems(waiting(60.0, pause=pause, workers=0)) == [
        (Severity.WARNING, "a: paused by ana@desk 12m00s ago: limit; oldest waits 1m00s")
    ]


def test_a_dead_worker_and_one_that_cannot_leave_are_told():
    dead = worker_row(heartbeat_seconds=7800.0, running=2)
    leaving = worker_row(host="web-4", is_leaving=True, running=1)
    assert problems(workers=(dead, leaving)) == [
        (Severity.WARNING, "worker web-3:2231: dead, unheard for 2h10m, 2 running"),
        (Severity.WARNING, "worker web-4:2231: leaving with 1 running"),
    ]


def test_a_transaction_of_more_than_ten_minutes_is_told():
    assert problems(oldest_transaction_seconds=600.0) == []
    ((severity, text),) = problems(oldest_transaction_seconds=720.0)
    assert severity is Severity.WARNING
    assert text.startswith("a transaction is open for 12m00s")


def test_counts_that_took_too_long_are_told_with_the_transaction_however_young():
    assert problems(is_partial=True) == [(Severity.WARNING, "counts took too long to be read")]
    assert problems(is_partial=True, oldest_transaction_seconds=90.0) == [
        (
            Severity.WARNING,
            "counts took too long to be read: a transaction is open for 1m30s, dead rows pile up",
        )
    ]


def test_an_unread_name_is_no_problem_and_a_dead_worker_still_is():
    dead = worker_row(heartbeat_seconds=7800.0, running=None)
    leaving = worker_row(host="web-4", is_leaving=True, running=None)
    assert problems(unread_row("a", workers=0), workers=(dead, leaving)) == [
        (Severity.WARNING, "worker web-3:2231: dead, unheard for 2h10m"),
        (Severity.WARNING, "worker web-4:2231: leaving"),
    ]


def test_critical_problems_come_first():
    late = waiting(400.0)
    orphan = name_row("b", ready=Count(1), oldest_seconds=1.0, workers=0)
    assert [severity for severity, _ in problems(late, orphan)] == ["critical", "warning"]
