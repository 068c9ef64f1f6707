"""What took too long is tried again later, and later still each time."""

from __future__ import annotations

from esync.postgres.patience import Patience


class Clock:
    """A clock that the test moves."""

    now = 1000.0

    def __call__(self):
        return self.now


def test_what_took_too_long_is_left_alone_twice_as_long_each_time():
    clock = Clock()
    patience = Patience(clock=clock)
    waits = []
    for _ in range(7):
        patience.learn("counts", was_slow=True, longest=960)
        began = clock.now
        while not patience.lasts_for("counts"):
            clock.now += 1
        waits.append(clock.now - began)
    assert waits == [60, 120, 240, 480, 960, 960, 960]


def test_what_nothing_else_stands_for_is_tried_every_minute():
    clock = Clock()
    patience = Patience(clock=clock)
    for _ in range(3):
        patience.learn("overview", was_slow=True)
        assert not patience.lasts_for("overview")
        clock.now += 60
        assert patience.lasts_for("overview")


def test_what_was_fast_again_starts_anew():
    clock = Clock()
    patience = Patience(clock=clock)
    patience.learn("counts", was_slow=True)
    clock.now += 60
    patience.learn("counts", was_slow=False)
    assert patience.lasts_for("counts")
    patience.learn("counts", was_slow=True)
    clock.now += 60
    assert patience.lasts_for("counts")


def test_other_things_are_not_left_alone():
    patience = Patience()
    patience.learn("counts", was_slow=True)
    assert not patience.lasts_for("counts")
    assert patience.lasts_for("names")
