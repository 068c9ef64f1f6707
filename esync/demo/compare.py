"""Comparing both sides of the demo, row by row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from esync.demo.record import Collection
from esync.text import visible_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from esync.demo.record import Record
    from esync.demo.source import Source
    from esync.demo.target_client import TargetClient

_SHOWN = 20
"""Differences and refused records that are listed by name."""
_KEY_SHOWN = 60


class Difference(NamedTuple):
    """A record that is not the same on both sides."""

    collection: Collection
    key: str
    source_version: int | None
    """None: only the target has it."""
    target_version: int | None
    """None: only the source has it."""

    def describe(self) -> str:
        """Return one line that says what differs."""
        if self.target_version is None:
            what = f"missing in the target, version {self.source_version} in the source"
        elif self.source_version is None:
            what = f"gone from the source, version {self.target_version} in the target"
        else:
            what = (
                f"version {self.source_version} in the source, {self.target_version} in the target"
            )
        return f"{_name(self.collection, self.key)}: {what}"


class Refused(NamedTuple):
    """A record whose current version the target has refused for good."""

    collection: Collection
    key: str
    reason: str

    def describe(self) -> str:
        """Return one line that says why."""
        return f"{_name(self.collection, self.key)}: {visible_line(self.reason)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The result: what is equal, what differs, what was refused, and what was left undone."""

    equal: int
    differences: tuple[Difference, ...]
    refused: tuple[Refused, ...]
    """They are excepted from the comparison, since trying again would not help."""
    waiting: int = 0
    """Tasks that were still pending or running; 0 when the queue was drained."""
    edits: int = 0
    """Changes that the load generator has made to the source."""
    repaired: int = 0
    """Records that differed with no task under way, and got one by the reconcile action."""
    answers: Mapping[str, int] = field(default_factory=dict)
    """How often the target answered with each status, and what else it counts."""

    @property
    def is_equal(self) -> bool:
        """Whether both sides hold the same, the refused records excepted."""
        return not self.differences

    @property
    def is_drained(self) -> bool:
        """Whether no task was left to do."""
        return not self.waiting

    def describe(self) -> str:
        """Return the result in lines for a person."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        verdict = "equal" if self.is_equal else "NOT equal"
        yield (
            f"source and target are {verdict}: {self.equal} records are the same,"
            f" {len(self.differences)} differ, {len(self.refused)} were refused for good"
        )
        if not self.is_drained:
            yield f"the queue was NOT drained: {self.waiting} tasks are left"
        yield from _listed("differs", self.differences)
        yield from _listed("refused", self.refused)
        answers = ", ".join(f"{name} ({count})" for name, count in sorted(self.answers.items()))
        yield f"  {self.edits} edits by the load generator, {self.repaired} repairs by reconcile"
        yield f"  the target's answers: {answers or 'none'}"


def compare(source: Source, target: TargetClient) -> Comparison:
    """Compare every record of both sides; both should be at rest."""
    equal = 0
    differences: list[Difference] = []
    refused: list[Refused] = []
    for collection in Collection:
        refusals = target.refusals(collection)
        for left, right in pair(source.scan(collection), target.scan(collection)):
            if left == right:
                equal += 1
            elif left and (reason := _refusal(left, refusals)):
                refused.append(Refused(collection, left.key, reason))
            else:
                differences.append(_difference(collection, left, right))
    return Comparison(
        equal=equal,
        differences=tuple(differences),
        refused=tuple(refused),
        answers=target.stats(),
    )


def find_differences(source: Source, target: TargetClient) -> list[Difference]:
    """Return the records that differ now, those refused for good left out."""
    return list(compare(source, target).differences)


def pair(
    left: Iterable[Record], right: Iterable[Record]
) -> Iterator[tuple[Record | None, Record | None]]:
    """Yield the records of two sides by key; both come in the order of their keys.

    Code points of Python, the "C" collation of PostgreSQL and the BINARY one of SQLite give the
    same order for UTF-8 text.
    """
    lefts, rights = iter(left), iter(right)
    one, other = next(lefts, None), next(rights, None)
    while one or other:
        if other is None or (one and one.key < other.key):
            yield one, None
            one = next(lefts, None)
        elif one is None or other.key < one.key:
            yield None, other
            other = next(rights, None)
        else:
            yield one, other
            one, other = next(lefts, None), next(rights, None)


def _refusal(record: Record, refusals: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return why this very version was refused; a refusal of an older one excuses nothing."""
    refusal = refusals.get(record.key)
    if refusal is None or refusal["version"] != record.version:
        return None
    return str(refusal["reason"])


def _difference(collection: Collection, left: Record | None, right: Record | None) -> Difference:
    one = left or right
    return Difference(
        collection,
        one.key if one else "",
        left.version if left else None,
        right.version if right else None,
    )


def _listed(word: str, rows: tuple[Difference, ...] | tuple[Refused, ...]) -> Iterator[str]:
    for row in rows[:_SHOWN]:
        yield f"  {word}: {row.describe()}"
    if len(rows) > _SHOWN:
        yield f"  {word}: and {len(rows) - _SHOWN} more"


def _name(collection: Collection, key: str) -> str:
    return f"{collection.table} {visible_line(key, limit=_KEY_SHOWN)}"
