"""Failures of the driver specification and the driver model show the values they compared."""

import pytest

pytest.register_assert_rewrite("esync.testing", "driver_model")
