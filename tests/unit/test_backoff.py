"""The time between attempts."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esync.backoff import Backoff
from esync.errors import SettingError


def test_the_default_is_a_constant_interval():
    backoff = Backoff(interval=60)
    assert [backoff.delay(tries) for tries in (1, 2, 1000)] == [60, 60, 60]


def test_it_grows_by_its_factor_up_to_its_ceiling():
    backoff = Backoff(interval=10, factor=2, max_interval=60)
    assert [backoff.delay(tries) for tries in (1, 2, 3, 4, 5)] == pytest.approx(
        [10, 20, 40, 60, 60]
    )


def test_an_interval_above_the_ceiling_is_kept():
    assert Backoff(interval=100, factor=2, max_interval=50).delay(3) == 100


def test_jitter_spreads_around_the_delay():
    backoff = Backoff(interval=100, jitter=0.2)
    delays = [backoff.delay(1, rng=random.Random(seed)) for seed in range(200)]
    assert 80 <= min(delays) < 90
    assert 110 < max(delays) <= 120


@given(
    st.floats(0, 366 * 86400),
    st.floats(1, 100),
    st.floats(0, 366 * 86400),
    st.floats(0, 1),
    st.integers(1, 10**9),
)
def test_every_delay_is_finite_and_not_negative(interval, factor, ceiling, jitter, tries):
    backoff = Backoff(interval=interval, factor=factor, max_interval=ceiling, jitter=jitter)
    delay = backoff.delay(tries)
    assert math.isfinite(delay)
    assert 0 <= delay <= 2 * max(interval, ceiling) * (1 + 1e-9)


@pytest.mark.parametrize("name", ["interval", "factor", "max_interval", "jitter"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), True, "1", None, 1e12])
def test_settings_outside_their_range_are_refused(name, value):
    with pytest.raises(SettingError, match="must be between"):
        Backoff(**{name: value})
