"""What really happened: the lines that handlers and producers wrote, held against the table.

Times are monotonic nanoseconds, which all processes of a machine share.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

ENDED = ("DONE", "FAILED", "CANCELLED")


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One call of a handler."""

    pid: int
    key: str
    task: str
    number: int
    start: int
    end: float = math.inf
    """Infinite for one that was not seen to end."""


class Add(NamedTuple):
    """A request that was acknowledged: called at `since`, returned at `at`."""

    key: str
    task: str
    since: int
    at: int


class Row(NamedTuple):
    """A row of the queue when all was over."""

    task: str
    key: str
    seq: int
    state: str
    attempts: int
    superseded_by: str | None


class History:
    """The attempts and requests of a file, in the order in which they were written."""

    def __init__(self, path: Path) -> None:
        text = path.read_text() if path.exists() else ""
        self.attempts: list[Attempt] = []
        self.adds: list[Add] = []
        self._open: dict[tuple[str, int, int], Attempt] = {}
        whole = text[: text.rfind("\n") + 1]
        for line in map(json.loads, whole.splitlines()):
            self._note(line)

    def of(self, pid: int) -> list[Attempt]:
        """Return the attempts of one process."""
        return [one for one in self.attempts if one.pid == pid]

    def open_of(self, pid: int) -> list[Attempt]:
        """Return the attempts of one process that have not ended."""
        return [one for one in self._open.values() if one.pid == pid]

    def end_at(self, pid: int, moment: int) -> list[Attempt]:
        """Let what a process had open end with the process; return it."""
        lost = self.open_of(pid)
        for one in lost:
            one.end = moment
        return lost

    def _note(self, line: dict) -> None:
        if line["what"] == "add":
            self.adds.append(Add(line["key"], line["task"], line["since"], line["at"]))
            return
        identity = (line["task"], line["attempt"], line["pid"])
        if line["what"] == "end":
            self._open.pop(identity).end = line["at"]
            return
        attempt = Attempt(
            pid=line["pid"],
            key=line["key"],
            task=line["task"],
            number=line["attempt"],
            start=line["at"],
        )
        self.attempts.append(attempt)
        self._open[identity] = attempt


def overlaps(attempts: Iterable[Attempt]) -> list[tuple[Attempt, Attempt]]:
    """Return the attempts of one key that ran at the same time (P4)."""
    found = []
    for ones in _by_key(attempts).values():
        ones.sort(key=lambda one: one.start)
        latest = None
        for one in ones:
            if latest is not None and one.start < latest.end:
                found.append((latest, one))
            if latest is None or one.end > latest.end:
                latest = one
    return found


def older_after_newer(history: History) -> list[tuple[Add, Add]]:
    """Return requests that started although a newer one had been started before (P2).

    Newer means: asked for after the older was acknowledged. Whoever claimed the newer then saw
    the older, and had to supersede it.
    """
    starts: defaultdict[str, list[int]] = defaultdict(list)
    for one in history.attempts:
        starts[one.task].append(one.start)
    found = []
    for adds in _by_key(history.adds).values():
        started = sorted((add for add in adds if add.task in starts), key=lambda add: add.since)
        for position, older in enumerate(started):
            last = max(starts[older.task])
            found += [
                (older, newer)
                for newer in started[position + 1 :]
                if older.at < newer.since and min(starts[newer.task]) < last
            ]
    return found


def unanswered(history: History) -> list[Add]:
    """Return acknowledged requests whose key no attempt began for after they were made (P1)."""
    last: dict[str, int] = {}
    for one in history.attempts:
        last[one.key] = max(one.start, last.get(one.key, 0))
    return [add for add in history.adds if last.get(add.key, 0) < add.since]


def unsettled(rows: Mapping[str, Row]) -> list[Row]:
    """Return the rows that are neither DONE nor superseded, in the end, by a newer DONE one."""
    return [row for row in rows.values() if not _ends_done(row, rows)]


def newest_not_done(rows: Mapping[str, Row]) -> list[Row]:
    """Return the newest request of each key that is not DONE."""
    newest = [max(ones, key=lambda row: row.seq) for ones in _by_key(rows.values()).values()]
    return [row for row in newest if row.state != "DONE"]


def unstarted(history: History, rows: Mapping[str, Row]) -> int:
    """Return how many attempts in the table no handler began; fail if one began twice.

    Such an attempt was claimed and given back. The last attempt of a DONE row is none of them.
    """
    begun = defaultdict(list)
    for one in history.attempts:
        begun[one.task].append(one.number)
    for task, numbers in begun.items():
        assert all(one < other for one, other in pairwise(numbers)), (rows[task], numbers)
        assert numbers[-1] <= rows[task].attempts, (rows[task], numbers)
    for row in rows.values():
        assert row.state != "DONE" or begun[row.task][-1:] == [row.attempts], row
    return sum(row.attempts - len(begun[row.task]) for row in rows.values())


def _ends_done(row: Row, rows: Mapping[str, Row]) -> bool:
    while row.superseded_by is not None:
        newer = rows.get(row.superseded_by)
        if row.state != "CANCELLED" or newer is None or newer.key != row.key:
            return False
        if newer.seq <= row.seq:
            return False
        row = newer
    return row.state == "DONE"


def _by_key(things):
    found = defaultdict(list)
    for thing in things:
        found[thing.key].append(thing)
    return found
