"""A random walk over a driver; the promises are checked after each step and at the end.

Subclass DriverModel, give it a `make_harness`, and let pytest collect the subclass's TestCase.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from esync.errors import WorkerGoneError
from esync.snapshot import Filter
from esync.task import TaskState
from esync.testing.harness import NAME, OPERATOR, OTHER, Worker, add, request

LEASE = 30.0
MAX_CRASHES = 2

PENDING = {TaskState.READY, TaskState.RETRY}
FINISHED = {TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED}

# One step may take a row from the left to the right; a rule does one thing to a row at a time.
MOVES = {
    TaskState.READY: {TaskState.IN_PROGRESS, TaskState.CANCELLED},
    TaskState.RETRY: {TaskState.IN_PROGRESS, TaskState.CANCELLED},
    TaskState.IN_PROGRESS: {*PENDING, *FINISHED},
    TaskState.DONE: {TaskState.READY},
    TaskState.FAILED: {TaskState.READY},
    TaskState.CANCELLED: {TaskState.READY},
}

names = st.sampled_from((NAME, OTHER))
keys = st.sampled_from("abc")
# No sum of these is the lease, so that no step depends on the milliseconds of the machine.
times = st.sampled_from((7, 13, 31))
indices = st.integers(min_value=0, max_value=1000)


@dataclass
class Held:
    """A claim that a worker has, or once had."""

    worker: Worker
    claim: object
    name: str


@dataclass
class Journal:
    """What happened, by step number, for the check at the end."""

    step: int = 0
    added: dict = field(default_factory=dict)
    attempts: dict = field(default_factory=dict)
    cancelled: set = field(default_factory=set)
    """Tasks that an operator cancelled or asked to stop."""


class DriverModel(RuleBasedStateMachine):
    make_harness = None
    """Returns a Harness whose driver has an empty queue."""

    def __init__(self):
        super().__init__()
        self.harness = type(self).make_harness()
        self.driver = self.harness.driver
        self.workers = []
        self.held = []
        self.owners = {}
        self.recorded = {}
        self.paused = set()
        self.journal = Journal()
        self.seen = {}

    @initialize()
    def register_one(self):
        self.register()

    # What may happen

    @precondition(lambda self: len(self.workers) < 5)
    @rule()
    def register(self):
        self.workers.append(Worker(self.driver, NAME, OTHER, lease=LEASE))

    @rule(
        name=names, key=keys, after=st.sampled_from((None, None, 20.0)), priority=st.integers(4, 6)
    )
    def add(self, name, key, after, priority):
        self.note_added(add(self.driver, key, name=name, after=after, priority=priority))

    @rule(name=names, chosen=st.lists(keys, min_size=1, max_size=6))
    def add_many(self, name, chosen):
        batch = [request(key, name=name) for key in chosen]
        assert self.driver.add_many(batch) == len(batch)
        for task in batch:
            self.note_added(task.task_id)

    @rule(
        name=names,
        which=indices,
        count=st.sampled_from((1, 2, 10)),
        limit=st.sampled_from((None, None, 1, 2)),
        suspects=st.booleans(),
    )
    def pop(self, name, which, count, limit, suspects):
        worker = self.workers[which % len(self.workers)]
        before, at_before = self.rows(), self.now()
        live = {row.worker_id for row in self.driver.list_workers() if row.has_lease}
        try:
            popped = worker.pop(name, count=count, limit=limit, suspects=suspects)
        except WorkerGoneError:
            assert worker.id not in live
            return
        assert worker.id in live
        check = PopCheck(before, self.rows(), name, at_before, self.now())
        check.claims_are_sound(popped.claims, suspects=suspects)
        check.limit_is_kept(popped.claims, count=1 if suspects else count, limit=limit)
        check.order_is_kept(popped.claims)
        check.superseding_is_sound(popped.superseded)
        if name in self.paused:
            assert not popped.claims
        elif limit is None and not suspects and popped.is_exhausted:
            check.nothing_was_left(popped)
        for claim in popped.claims:
            self.note_claimed(worker, claim, name)

    @precondition(lambda self: self.held)
    @rule(
        which=indices,
        state=st.sampled_from((TaskState.DONE, TaskState.FAILED, TaskState.RETRY)),
        delay=st.sampled_from((0.0, 20.0)),
    )
    def finish(self, which, state, delay):
        held = self.held[which % len(self.held)]
        task_id, attempt = held.claim.task_id, held.claim.attempt
        before = self.rows()[task_id]
        is_recorded = held.worker.finish(held.claim, state, delay=delay)
        after = self.rows()[task_id]
        if self.owns(held, before):
            assert is_recorded
            is_cancelled = state is TaskState.RETRY and before.cancel_requested
            assert after.state == (TaskState.CANCELLED if is_cancelled else state)
            assert (after.crashes, after.cancel_requested) == (0, None)
            self.recorded[task_id, attempt] = state
        else:
            assert before == after
            assert not is_recorded or self.recorded.get((task_id, attempt)) == state

    @precondition(lambda self: self.held)
    @rule(which=indices)
    def release(self, which):
        held = self.held[which % len(self.held)]
        before = self.rows()[held.claim.task_id]
        owned = self.owns(held, before)
        assert held.worker.release(held.claim) == owned
        after = self.rows()[held.claim.task_id]
        if not owned:
            assert before == after
        elif before.cancel_requested:
            assert after.state == TaskState.CANCELLED
        else:
            assert after.state == (TaskState.RETRY if before.tries else TaskState.READY)

    @rule(seconds=times)
    def let_pass(self, seconds):
        self.harness.let_pass(seconds)
        if seconds < LEASE:
            return
        # The usual: most workers beat, so that losing one stays the exception.
        for worker in self.workers[1:]:
            self.driver.beat(worker.id, names=[NAME, OTHER])

    @rule(which=indices)
    def beat(self, which):
        worker = self.workers[which % len(self.workers)]
        there = {row.worker_id for row in self.driver.list_workers()}
        assert self.driver.beat(worker.id, names=[NAME]) == (worker.id in there)

    @rule()
    def rescue(self):
        lost = [row for row in self.driver.list_workers() if not row.has_lease]
        gone = {row.worker_id for row in lost}
        before = self.rows()
        rescued = self.driver.rescue(max_crashes=MAX_CRASHES)
        assert rescued.workers == len(lost)
        after = self.rows()
        for task_id, row in before.items():
            was_lost = row.state == TaskState.IN_PROGRESS and self.owners[task_id] in gone
            assert (after[task_id].state != row.state) == was_lost
            assert after[task_id].crashes == row.crashes + was_lost
        self.workers = [worker for worker in self.workers if worker.id not in gone]
        if not self.workers:
            self.register()

    @rule(which=st.lists(indices, min_size=1, max_size=3), skip_newer=st.booleans())
    def requeue(self, which, skip_newer):
        ids, before = self.some(which), self.rows()
        result = self.driver.requeue(ids, by=OPERATOR, skip_newer=skip_newer)
        self.check_action(ids, result)
        for task_id in result.changed:
            assert before[task_id].state in FINISHED
            assert self.rows()[task_id].state == TaskState.READY
            self.journal.cancelled.discard(task_id)
            self.journal.added[task_id] = self.journal.step
        if not skip_newer:
            assert {i for i in ids if before[i].state in FINISHED} == set(result.changed)

    @rule(which=st.lists(indices, min_size=1, max_size=2))
    def cancel(self, which):
        ids, before = self.some(which), self.rows()
        result = self.driver.cancel(ids, by=OPERATOR)
        self.check_action(ids, result)
        assert {i for i in ids if before[i].state in PENDING} == set(result.changed)
        running = {i for i in ids if before[i].state == TaskState.IN_PROGRESS}
        assert running == set(result.asked)
        self.journal.cancelled |= {*result.changed, *result.asked}

    @rule(which=indices)
    def run_now(self, which):
        ids, before = self.some([which]), self.rows()
        result = self.driver.run_now(ids, by=OPERATOR)
        self.check_action(ids, result)
        assert {i for i in ids if before[i].state in PENDING} == set(result.changed)

    @rule(name=names)
    def pause(self, name):
        self.driver.pause([name], by=OPERATOR)
        self.paused.add(name)

    @rule(name=names)
    def resume(self, name):
        assert bool(self.driver.resume([name], by=OPERATOR).names) == (name in self.paused)
        self.paused.discard(name)

    # What must always be so

    @invariant()
    def every_request_has_its_row_and_none_is_new(self):
        assert self.rows().keys() == self.seen_ids()

    @invariant()
    def a_key_runs_once_at_a_time(self):
        running = Counter(
            (row.name, row.key)
            for row in self.rows().values()
            if row.state == TaskState.IN_PROGRESS
        )
        assert set(running.values()) <= {1}

    @invariant()
    def rows_move_only_as_the_states_allow(self):
        self.journal.step += 1
        rows = self.rows()
        for task_id, row in rows.items():
            was = self.seen.get(task_id)
            if was is None:
                continue
            assert row.state == was.state or row.state in MOVES[was.state], (was, row)
            assert row.seq == was.seq
            assert row.attempts - was.attempts in (0, 1)
            is_claimed = row.state == TaskState.IN_PROGRESS != was.state
            assert (row.attempts > was.attempts) == is_claimed
        self.seen = rows

    @invariant()
    def superseded_requests_name_a_newer_one_of_their_key(self):
        rows = self.rows()
        for row in rows.values():
            if row.superseded_by is None:
                continue
            newer = rows[row.superseded_by]
            assert row.state == TaskState.CANCELLED
            assert (newer.name, newer.key) == (row.name, row.key)
            assert newer.seq > row.seq

    def teardown(self):
        try:
            self.drain()
            self.check_nothing_was_lost()
        finally:
            close = getattr(self.harness, "close", None)
            if close is not None:
                close()

    # At the end: one healthy worker performs what is left

    def drain(self):
        self.driver.resume([NAME, OTHER], by=OPERATOR)
        self.harness.let_pass(100)
        self.driver.rescue(max_crashes=MAX_CRASHES)
        worker = Worker(self.driver, NAME, OTHER)
        for _ in range(10):
            for name in (NAME, OTHER):
                claims = [*worker.take(name, count=100)]
                while suspects := worker.pop(name, suspects=True).claims:
                    claims += suspects
                    self.finish_all(worker, suspects, name)
                self.finish_all(worker, claims, name)
        assert {row.state for row in self.rows().values()} <= FINISHED

    def finish_all(self, worker, claims, name):
        for claim in claims:
            self.note_claimed(worker, claim, name)
            worker.finish(claim)

    def check_nothing_was_lost(self):
        """Every request is followed by an attempt of its key that began after it (P1)."""
        rows = self.rows()
        for task_id, added in self.journal.added.items():
            last = rows[task_id]
            while last.superseded_by is not None and last.task_id not in self.journal.cancelled:
                last = rows[last.superseded_by]
            if last.task_id not in self.journal.cancelled:
                assert self.journal.attempts.get(last.task_id, -1) >= added, (task_id, last)

    # Words

    def rows(self):
        page = self.driver.list_tasks(Filter(), limit=10_000)
        assert page.next is None
        return {row.task_id: row for row in page.rows}

    def now(self):
        return self.driver.get_overview().at

    def seen_ids(self):
        return self.journal.added.keys()

    def some(self, which):
        ids = list(self.journal.added)
        return [ids[i % len(ids)] for i in which] if ids else []

    def note_added(self, task_id):
        self.journal.added[task_id] = self.journal.step

    def note_claimed(self, worker, claim, name):
        self.held.append(Held(worker, claim, name))
        self.owners[claim.task_id] = worker.id
        self.journal.attempts[claim.task_id] = self.journal.step

    def owns(self, held, row):
        return (
            row.state == TaskState.IN_PROGRESS
            and row.attempts == held.claim.attempt
            and self.owners[row.task_id] == held.worker.id
        )

    def check_action(self, ids, result):
        skipped = {skip.task_id for skip in result.skipped}
        touched = [*result.changed, *result.asked, *skipped]
        assert sorted(touched) == sorted(set(ids))


class PopCheck:
    """What must hold between the rows before a pop and the rows after it."""

    def __init__(self, before, after, name, at_before, at_after):
        self.before = {i: row for i, row in before.items() if row.name == name}
        self.after = after
        self.running = {
            row.key for row in self.before.values() if row.state == TaskState.IN_PROGRESS
        }
        self.surely_due = self.due(at_before)
        self.perhaps_due = self.due(at_after)

    def due(self, at):
        """Return the due rows by key, oldest first."""
        keys = {}
        for row in sorted(self.before.values(), key=lambda row: row.seq):
            if row.state in PENDING and row.do_after <= at:
                keys.setdefault(row.key, []).append(row)
        return keys

    def claims_are_sound(self, claims, *, suspects):
        assert len({claim.key for claim in claims}) == len(claims)
        for claim in claims:
            was = self.before[claim.task_id]
            assert claim.key not in self.running
            assert was in self.perhaps_due[claim.key]
            newest = self.surely_due.get(claim.key, [was])[-1]
            assert newest.seq <= was.seq, "a newer due request was passed over"
            assert (claim.attempt, claim.tries) == (was.attempts + 1, was.tries)
            assert (was.crashes > 0) == suspects

    def limit_is_kept(self, claims, *, count, limit):
        assert len(claims) <= count
        if limit is not None:
            assert len(claims) <= max(0, limit - len(self.running))

    def order_is_kept(self, claims):
        # Only where the clock cannot have changed the order meanwhile.
        if self.perhaps_due != self.surely_due:
            return
        places = [
            min((row.priority, row.do_after, row.seq) for row in self.surely_due[claim.key])
            for claim in claims
        ]
        assert places == sorted(places)

    def superseding_is_sound(self, superseded):
        ended = [
            row
            for task_id, row in self.before.items()
            if row.superseded_by is None and self.after[task_id].superseded_by is not None
        ]
        assert len(ended) == superseded
        for row in ended:
            assert row.state in PENDING
            successor = self.before[self.after[row.task_id].superseded_by]
            assert successor in self.perhaps_due[row.key]
            is_due = row in self.perhaps_due[row.key]
            assert is_due or row.state == TaskState.RETRY

    def nothing_was_left(self, popped):
        claimed = {claim.key for claim in popped.claims}
        for key, rows in self.surely_due.items():
            is_suspect = rows[-1].crashes > 0
            if not is_suspect and key not in popped.blocked:
                assert key in claimed
                older = rows[:-1]
                assert all(
                    self.after[row.task_id].superseded_by == rows[-1].task_id for row in older
                )
