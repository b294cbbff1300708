"""The session's servers, and what each test ran on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.errors import PipelineError
from tests.support.services import Services, open_services
from tests.support.services_report import SERVERS, report


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest) -> Iterator[Services]:
    """Real Kafka and Redis; see `tests.support.services`."""
    try:
        with open_services(os.environ) as found:
            request.config.stash[SERVERS] = found
            yield found
    except PipelineError as error:
        pytest.fail(str(error), pytrace=False)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    lines = report(terminalreporter.stats, config.stash.get(SERVERS, None))
    if lines:
        terminalreporter.section("services")
    for line in lines:
        terminalreporter.line(line)
