"""Workers that are killed, or told to stop, while they run handlers."""

from __future__ import annotations

import os
import signal
import time

from fault_history import overlaps
from fix_wait import wait_until

from esync.task_manager import TaskManager

PATIENCE = 30


def add(driver, count, data):
    TaskManager(driver).add_tasks([("fault", f"k{number}", data) for number in range(count)])


def wait_for_workers(driver, *processes):
    pids = {process.pid for process in processes}
    wait_until(
        lambda: pids <= {worker.pid for worker in driver.list_workers()}, PATIENCE, what="workers"
    )


def kill_in_mid_attempt(scene, process):
    """Kill -9 a process while a handler of it runs; return when it was dead for certain."""

    def stopped():
        if len(scene.history.of(process.pid)) < 10:
            return False
        process.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        if scene.history.open_of(process.pid):
            return True
        process.signal(signal.SIGCONT)
        return False

    wait_until(stopped, PATIENCE, what="a handler in the middle")
    process.signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    return time.monotonic_ns()


def test_the_tasks_of_a_killed_worker_are_run_again_and_never_two_of_a_key(scene, driver):
    victim, other = scene.work(), scene.work()
    wait_for_workers(driver, victim, other)
    add(driver, 200, {"seconds": 0.05})
    killed_at = kill_in_mid_attempt(scene, victim)
    rows = scene.wait_for_end()
    history = scene.history
    lost = history.end_at(victim.pid, killed_at)
    assert {row.state for row in rows.values()} == {"DONE"}
    assert len(rows) == 200
    assert overlaps(history.attempts) == []
    assert lost
    again = {(one.task, one.number) for one in history.of(other.pid)}
    assert {(one.task, one.number + 1) for one in lost} <= again
    other.signal(signal.SIGTERM)
    assert other.wait() == 0


def test_a_worker_told_to_stop_ends_what_runs_and_leaves_the_rest_to_the_other(scene, driver):
    leaver, other = scene.work(ESYNC_GRACE="20"), scene.work()
    wait_for_workers(driver, leaver, other)
    add(driver, 150, {"seconds": 0.05})
    wait_until(lambda: len(scene.history.of(leaver.pid)) >= 10, PATIENCE, what="its attempts")
    leaver.signal(signal.SIGTERM)
    assert leaver.wait() == 0
    assert scene.history.open_of(leaver.pid) == []
    rows = scene.wait_for_end()
    started = [one.task for one in scene.history.attempts]
    assert {row.state for row in rows.values()} == {"DONE"}
    assert len(started) == len(set(started)) == len(rows) == 150


def test_a_handler_longer_than_the_grace_is_run_by_another_and_no_crash(scene, driver):
    leaver = scene.work(ESYNC_GRACE="0.2")
    task_id = TaskManager(driver).add_task("fault", "k", {"seconds": 0, "first_seconds": 600})
    wait_until(lambda: scene.history.open_of(leaver.pid), PATIENCE, what="its attempt")
    other = scene.work()
    # It judges others only after a whole lease of its own beats.
    wait_until(lambda: age(driver, other) > 4, PATIENCE, what="a worker of some age")
    leaver.signal(signal.SIGTERM)
    assert leaver.wait() == 5
    left_at = time.monotonic_ns()
    wait_until(lambda: scene.history.of(other.pid), PATIENCE, what="the other's attempt")
    rows = scene.wait_for_end()
    history = scene.history
    history.end_at(leaver.pid, left_at)
    detail = driver.get_task(task_id)
    assert overlaps(history.attempts) == []
    assert rows[str(task_id)].state == "DONE"
    # A crash would be an entry of `errors`, and count as a failure, until the end of the task.
    assert (detail.row.crashes, detail.row.tries, detail.errors) == (0, 0, ())


def age(driver, process):
    return max(
        (one.started_seconds for one in driver.list_workers() if one.pid == process.pid), default=0
    )
