"""Property tests on machines that are busy with other things."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "esync",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,  # a red build must be red again when it is run again
)
settings.load_profile("esync")
