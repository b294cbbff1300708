"""The session's servers, and what each test ran on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from ops.stack.java import kafka_jars
from ops.stack.settings import StackSettings
from schemas.errors import ConfigurationError, PipelineError
from tests.support.services import Services, local_machine, open_services
from tests.support.services_report import SERVERS, report

# A machine that is busy elsewhere makes any example slow.
settings.register_profile("everscore", deadline=None)
settings.load_profile("everscore")


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest) -> Iterator[Services]:
    """Real Kafka and Redis; see `tests.support.services`."""
    try:
        with open_services(os.environ) as found:
            request.config.stash[SERVERS] = found
            yield found
    except PipelineError as error:
        pytest.fail(str(error), pytrace=False)


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


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    lines = report(terminalreporter.stats, config.stash.get(SERVERS, None))
    if lines:
        terminalreporter.section("services")
    for line in lines:
        terminalreporter.line(line)
