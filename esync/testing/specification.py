"""The whole specification: every promise of esync.driver, each as a test."""

from __future__ import annotations

from esync.testing.spec_adding import AddingSpecification
from esync.testing.spec_crashes import CrashesSpecification
from esync.testing.spec_exclusion import ExclusionSpecification
from esync.testing.spec_fencing import FencingSpecification
from esync.testing.spec_latest_wins import LatestWinsSpecification
from esync.testing.spec_limits import LimitsSpecification
from esync.testing.spec_names import NamesSpecification
from esync.testing.spec_operators import OperatorsSpecification
from esync.testing.spec_order import OrderSpecification
from esync.testing.spec_outcomes import OutcomesSpecification
from esync.testing.spec_overview import OverviewSpecification
from esync.testing.spec_reading import ReadingSpecification
from esync.testing.spec_schedule import ScheduleSpecification
from esync.testing.spec_wakeups import WakeUpsSpecification


class DriverSpecification(
    AddingSpecification,
    LatestWinsSpecification,
    ExclusionSpecification,
    FencingSpecification,
    OutcomesSpecification,
    LimitsSpecification,
    OrderSpecification,
    CrashesSpecification,
    NamesSpecification,
    OperatorsSpecification,
    ReadingSpecification,
    OverviewSpecification,
    WakeUpsSpecification,
    ScheduleSpecification,
):
    """Every promise, as a method that takes a `harness`.

    Subclass it in a test module and give it a pytest fixture named `harness`; each test gets a
    fresh one, with an empty queue.
    """
