"""The poller: one reader, no overlap, at most one percent of the database, never dead."""

from __future__ import annotations

import threading
import time
from uuid import UUID

import pytest
from fix_console import FakeDriver, task_row
from fix_wait import wait_until

from esync.errors import DriverUnavailableError
from esync.snapshot import Count, Cursor, Filter, Overview
from esync_tui import poller
from esync_tui.poller import DUTY, RETRY_DELAYS, Poller, Wanted


class Polling:
    """A poller that runs for the length of a test."""

    def __init__(self, driver, *, interval=60.0):
        self.announced = 0
        self.poller = Poller(driver, on_picture=self._announce, interval=interval)

    def _announce(self):
        self.announced += 1

    def __enter__(self):
        self.poller.start()
        return self

    def __exit__(self, *_):
        self.poller.stop()
        self.poller.join(timeout=5)
        assert not self.poller.is_alive()

    def picture(self, condition):
        return wait_until(lambda: (p := self.poller.take()) and condition(p) and p)


def overviews(driver):
    return sum(read[0] == "overview" for read in driver.reads)


def test_the_first_poll_comes_at_once():
    with Polling(FakeDriver()) as polling:
        assert polling.picture(lambda p: p.overview).overview.names[0].raw_name == "customer.sync"


def test_pictures_are_announced_once_until_they_are_taken():
    driver = FakeDriver()
    with Polling(driver, interval=0.01) as polling:
        wait_until(lambda: overviews(driver) > 5)
        assert polling.announced == 1
        polling.poller.take()
        wait_until(lambda: polling.announced == 2)


def test_what_an_operator_asks_for_is_read_without_waiting_for_the_next_poll():
    driver = FakeDriver(rows=(task_row(1),))
    with Polling(driver) as polling:
        polling.picture(lambda p: p.overview)
        polling.poller.want(Wanted(where=Filter(key="C-1")))
        picture = polling.picture(lambda p: p.matched)
        assert picture.page.where == Filter(key="C-1")
        assert overviews(driver) == 1


def test_a_list_that_has_no_second_page_is_its_own_count():
    driver = FakeDriver(rows=(task_row(1),))
    with Polling(driver, interval=0.01) as polling:
        polling.poller.want(Wanted(where=Filter()))
        polling.picture(lambda p: p.matched == Count(1))
        driver.rows = (task_row(1), task_row(2))
        polling.picture(lambda p: p.matched == Count(2))
        assert not any(read[0] == "count" for read in driver.reads)


def test_a_quick_count_is_repeated_after_a_while(monkeypatch):
    monkeypatch.setattr(poller, "COUNT_SECONDS", 0.0)
    monkeypatch.setattr(poller, "COUNT_DUTY", 0.0)
    driver = FakeDriver(rows=(task_row(1),), next=Cursor(2, ("a",)), matched=Count(300))
    with Polling(driver, interval=5.0) as polling:
        polling.poller.want(Wanted(where=Filter()))
        polling.picture(lambda p: p.matched == Count(300))
        driver.matched = Count(412)
        polling.poller.want(Wanted(where=Filter(), after=Cursor(2, ("a",))))
        polling.picture(lambda p: p.matched == Count(412))


def test_a_count_is_not_repeated_with_every_poll():
    driver = FakeDriver(rows=(task_row(1),), next=Cursor(2, ("a",)))
    with Polling(driver, interval=0.01) as polling:
        polling.poller.want(Wanted(where=Filter()))
        polling.picture(lambda p: p.matched)
        before = overviews(driver)
        wait_until(lambda: overviews(driver) > before + 5)
        assert sum(read[0] == "count" for read in driver.reads) <= 2


def test_refresh_reads_everything_now():
    driver = FakeDriver()
    with Polling(driver) as polling:
        polling.picture(lambda p: p.overview)
        polling.poller.refresh()
        wait_until(lambda: overviews(driver) == 2)


class Slow(FakeDriver):
    """A database that needs its time, and says so."""

    def get_overview(self, *, minutes=30):
        overview = super().get_overview(minutes=minutes)
        return Overview(at=overview.at, names=overview.names, workers=(), took_seconds=0.5)


def test_the_poller_rests_a_hundred_times_as_long_as_the_database_worked():
    with Polling(Slow(), interval=2.0) as polling:
        signal = polling.picture(lambda p: p.overview and p.signal.interval > 2).signal
        assert signal.interval >= 0.5 * DUTY
        assert signal.next_at >= time.monotonic() + 40


def test_polls_never_overlap():
    class Counting(FakeDriver):
        inside = 0
        most = 0
        lock = threading.Lock()

        def get_overview(self, *, minutes=30):
            with self.lock:
                self.inside += 1
                self.most = max(self.most, self.inside)
            threading.Event().wait(0.02)
            with self.lock:
                self.inside -= 1
            return super().get_overview(minutes=minutes)

    driver = Counting()
    with Polling(driver, interval=0.001) as polling:
        for _ in range(20):
            polling.poller.refresh()
        wait_until(lambda: overviews(driver) > 5)
    assert driver.most == 1


def test_an_error_keeps_the_last_values_and_is_retried_later_and_later():
    driver = FakeDriver()
    with Polling(driver) as polling:
        polling.picture(lambda p: p.overview)
        driver.error = DriverUnavailableError("away")
        for failures, delay in enumerate(RETRY_DELAYS, start=1):
            polling.poller.refresh()
            picture = polling.picture(lambda p, n=failures: p.signal.failures == n)
            assert picture.overview is not None
            assert 0.9 * delay <= picture.signal.interval <= 1.1 * delay
        driver.error = None
        polling.poller.refresh()
        assert polling.picture(lambda p: p.signal.error is None).signal.failures == 0


def test_an_error_that_no_driver_should_raise_does_not_end_the_poller():
    driver = FakeDriver(error=ZeroDivisionError("a bug"))
    with Polling(driver) as polling:
        assert polling.picture(lambda p: p.signal.error).signal.error == "a bug"
        driver.error = None
        polling.poller.refresh()
        polling.picture(lambda p: p.overview)


def test_a_list_that_fails_leaves_the_overview_live_and_is_not_hammered():
    driver = FakeDriver(page_error=DriverUnavailableError("statement timeout"))
    with Polling(driver) as polling:
        polling.poller.want(Wanted(where=Filter()))
        picture = polling.picture(lambda p: p.page_error)
        assert picture.signal.error is None
        for count in (2, 3):
            polling.poller.refresh()
            wait_until(lambda count=count: overviews(driver) == count)
        assert sum(read[0] == "page" for read in driver.reads) <= 4


def test_a_task_that_does_not_exist_is_told_by_its_id():
    with Polling(FakeDriver()) as polling:
        polling.poller.want(Wanted(task_id=UUID(int=9)))
        polling.picture(lambda p: p.gone_id == UUID(int=9))


@pytest.mark.parametrize("is_hanging", [False, True])
def test_stopping_does_not_wait_for_a_read_that_hangs(is_hanging):
    release = threading.Event()

    class Hanging(FakeDriver):
        def get_overview(self, *, minutes=30):
            if is_hanging:
                release.wait(5)
            return super().get_overview(minutes=minutes)

    poller = Poller(Hanging(), on_picture=lambda: None, interval=60)
    poller.start()
    started = time.monotonic()
    poller.stop()
    assert time.monotonic() - started < 1
    release.set()
    poller.join(timeout=5)
    assert not poller.is_alive()
