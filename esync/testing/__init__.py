"""The specification that every driver passes, for people who write or test one.

    class TestMyDriver(DriverSpecification):
        @pytest.fixture
        def harness(self) -> Iterator[Harness]:
            yield MyHarness(...)

pytest then runs every promise against the driver. Call
`pytest.register_assert_rewrite("esync.testing")` before the import to see values in failures.
"""

from esync.testing.harness import Harness
from esync.testing.specification import DriverSpecification

__all__ = ["DriverSpecification", "Harness"]
