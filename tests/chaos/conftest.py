"""One real Kafka for all rows of the session; each row has a Redis of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ops.stack.settings import StackSettings
from tests.chaos.kafka import ChaosKafka
from tests.support.services_report import RAN_ON


@pytest.fixture(scope="session")
def kafka(machine: StackSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosKafka]:
    """A broker that rows may kill."""
    server = ChaosKafka(tmp_path_factory.mktemp("chaos"), machine)
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _ran_on(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    if "kafka" in request.fixturenames:
        version = request.getfixturevalue("kafka").version
        record_property(RAN_ON, f"an Apache Kafka {version} and a Redis of their own")
