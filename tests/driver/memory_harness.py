"""MemoryDriver as the driver specification sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

from esync.memory import MemoryDriver


@dataclass
class MemoryHarness:
    driver: MemoryDriver = field(default_factory=MemoryDriver)

    def let_pass(self, seconds):
        self.driver.let_pass(seconds)
