"""What each test of this folder ran on; the servers themselves are `tests.conftest`'s."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ops.stack.java import kafka_version
from tests.support.services_report import RAN_ON


@pytest.fixture(autouse=True)
def _ran_on(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    if "services" in request.fixturenames:
        record_property(RAN_ON, request.getfixturevalue("services").names)
    if "machine" in request.fixturenames:
        record_property(RAN_ON, f"an Apache Kafka {kafka_version()} and a Redis of their own")
