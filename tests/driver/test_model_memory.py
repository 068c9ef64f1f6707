"""The random walk of driver_model over MemoryDriver."""

from __future__ import annotations

from driver_model import DriverModel
from hypothesis import HealthCheck, Phase, settings
from memory_harness import MemoryHarness


class MemoryModel(DriverModel):
    make_harness = MemoryHarness


TestMemoryModel = MemoryModel.TestCase
TestMemoryModel.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    # The explain phase traces every line, which makes a walk ten times slower.
    phases=[Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
