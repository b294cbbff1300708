"""Servers for the tests that need some."""

from collections.abc import Iterator

import pytest

from ops.embedded.stack import EmbeddedStack


@pytest.fixture(scope="session")
def stack() -> Iterator[EmbeddedStack]:
    with EmbeddedStack() as running:
        yield running
