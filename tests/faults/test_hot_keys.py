"""A few keys that many ask for at once: latest wins, one at a time, nothing is lost."""

from __future__ import annotations

import os
import re
import signal

import fault_history as check
import pytest

SECONDS = float(os.environ.get("ESYNC_TEST_FAULT_SECONDS", "8"))
KEYS = 40


@pytest.mark.timeout(120 + 4 * SECONDS)
def test_hot_keys_are_performed_one_at_a_time_newest_last_and_none_is_lost(scene):
    workers = [scene.work(ESYNC_LEASE="30", ESYNC_HEARTBEAT="5") for _ in range(2)]
    producers = [scene.produce(keys=KEYS, seconds=SECONDS) for _ in range(4)]
    assert [producer.wait(SECONDS + 60) for producer in producers] == [0] * 4
    rows = scene.wait_for_end()
    for worker in workers:
        worker.signal(signal.SIGTERM)
    assert [worker.wait() for worker in workers] == [0, 0]
    history = scene.history
    assert rows.keys() == {add.task for add in history.adds}
    assert len({one.pid for one in history.attempts}) == 2
    assert check.overlaps(history.attempts) == []
    assert check.older_after_newer(history) == []
    assert check.unanswered(history) == []
    assert check.unsettled(rows) == []
    assert check.newest_not_done(rows) == []
    assert check.unstarted(history, rows) == sum(map(released, workers))


def released(worker):
    """How many claims a worker gave back because they had waited too long for their start."""
    return sum(map(int, re.findall(r"(\d+) tasks waited too long; released", worker.stderr)))
