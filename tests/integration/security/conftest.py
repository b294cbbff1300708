"""One secure stack for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from ops.security.door import SecureDoor
from ops.security.profile import Profile
from ops.stack.local import LocalStack
from ops.stack.settings import StackSettings
from ops.stack.topics import declared_topics
from schemas.errors import ConfigurationError
from tests.support.seat import PARTITIONS, SETTINGS
from tests.support.services_report import RAN_ON


@pytest.fixture(autouse=True)
def _ran_on(stack: LocalStack, record_property: Callable[[str, object], None]) -> None:
    kafka, redis = stack.status()
    record_property(RAN_ON, f"a secure Apache Kafka {kafka.version} and Redis {redis.version}")


@pytest.fixture(scope="package")
def stack(machine: StackSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Only those with a key get in; the folder is not the stack's, which removes its own."""
    profile = Profile(tmp_path_factory.mktemp("secure") / "security")
    try:
        SecureDoor(profile).redis_executable()
    except ConfigurationError as error:
        if os.environ.get("REQUIRE_REAL_SERVICES") == "1":
            pytest.fail(f"REQUIRE_REAL_SERVICES=1, but: {error}")
        pytest.skip(f"no secure stack here: {error}")
    topics = declared_topics(SETTINGS, PARTITIONS)
    with LocalStack(topics=topics, machine=machine, secure=profile) as running:
        yield running
