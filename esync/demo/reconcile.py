"""The scheduled action of the demo: finds records that differ though no task is under way."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from esync.demo.compare import Difference, find_differences
from esync.demo.record import Collection, to_task_key

if TYPE_CHECKING:
    from collections.abc import Collection as Sized

    from esync.demo.source import Source
    from esync.demo.target_client import TargetClient
    from esync.task_manager import TaskManager

log = logging.getLogger("esync.demo")

_REPAIR_LIMIT = 500
"""Tasks that one run adds at most."""


class Reconcile:
    """Adds a task for every record that differs in the same way twice with no task under way.

    A sound queue leaves nothing to repair, unless an operator cancels a task or somebody edits the
    target by hand.
    """

    def __init__(self, source: Source, target: TargetClient, *, task_manager: TaskManager) -> None:
        self._source = source
        self._target = target
        self._task_manager = task_manager
        self._seen: set[Difference] = set()
        self.repaired = 0

    def do(self) -> None:
        """Look at every record once; add the tasks that are missing."""
        found = set(find_differences(self._source, self._target))
        stale, self._seen = found & self._seen, found
        for collection in Collection:
            self._repair(collection, [row.key for row in stale if row.collection is collection])
        log.info("reconcile: %d records differ now, %d repairs so far", len(found), self.repaired)

    def _repair(self, collection: Collection, keys: list[str]) -> None:
        missing = self._without_task(collection, keys)[:_REPAIR_LIMIT]
        if not missing:
            return
        field = collection.table
        self._task_manager.add_tasks(
            (collection.task_name, to_task_key(key), {field: key, "change": "RECONCILE"})
            for key in missing
        )
        self.repaired += len(missing)

    def _without_task(self, collection: Collection, keys: list[str]) -> list[str]:
        waiting: Sized[str] = self._source.waiting(collection, keys) if keys else ()
        return sorted(key for key in keys if key not in waiting)
