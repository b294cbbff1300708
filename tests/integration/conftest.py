"""Servers for the tests that need some: which, says `tests.support.services`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ops.stack.java import kafka_jars, kafka_version
from ops.stack.settings import StackSettings
from schemas.errors import ConfigurationError
from tests.support.services import local_machine
from tests.support.services_report import RAN_ON


@pytest.fixture(autouse=True)
def _ran_on(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    if "services" in request.fixturenames:
        record_property(RAN_ON, request.getfixturevalue("services").names)
    if "machine" in request.fixturenames:
        record_property(RAN_ON, f"an Apache Kafka {kafka_version()} and a Redis of their own")


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> StackSettings:
    """This machine, if it has what the local stack needs, with Kafka fetched."""
    try:
        settings = local_machine()
    except ConfigurationError as error:
        request.getfixturevalue("services")  # fails where real ones must be and none are
        pytest.skip(f"no local stack here: {error}")
    kafka_jars(settings.cache)
    return settings
