"""Servers for the tests that need some."""

import os
from collections.abc import Iterator

import pytest

from ops.embedded.redis_server import redis_executable
from ops.embedded.stack import EmbeddedStack
from ops.stack.java import cached_jars, find_java, find_maven, kafka_jars
from ops.stack.settings import StackSettings
from schemas.errors import ConfigurationError


@pytest.fixture(scope="session")
def stack() -> Iterator[EmbeddedStack]:
    with EmbeddedStack() as running:
        yield running


@pytest.fixture(scope="session")
def machine() -> StackSettings:
    """This machine, if it has what the local stack needs, with Kafka fetched."""
    settings = StackSettings()
    try:
        find_java(settings.java_home)
        if cached_jars(settings.cache) is None:
            find_maven()
        redis_executable()
    except ConfigurationError as error:
        if os.environ.get("REQUIRE_REAL_SERVICES") == "1":
            pytest.fail(f"REQUIRE_REAL_SERVICES=1, but: {error}")
        pytest.skip(f"no local stack here: {error}")
    kafka_jars(settings.cache)
    return settings
