"""A browser, a console to visit, and visitors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ops.api.policy import Role
from tests.support.api import Counted, counted
from tests.support.browser import Visitor, needs_browser, open_browser
from tests.support.console import Console
from tests.support.purchases import cdnow_of


@pytest.fixture(scope="module")
def sixty() -> Counted:
    # The browser's driver has a loop running in this thread.
    with ThreadPoolExecutor() as aside:
        return aside.submit(lambda: asyncio.run(counted(cdnow_of(60)))).result()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser(needs_browser()) as opened:
        yield opened


@pytest.fixture
def console(tmp_path: Path, sixty: Counted) -> Iterator[Console]:
    made = Console(tmp_path, sixty)
    yield made
    made.end()


@pytest.fixture
def arrive(browser: Any, console: Console) -> Iterator[Callable[..., Visitor]]:
    """Somebody comes to the page, and signs in unless told not to."""
    contexts = []

    def come(role: Role | None = Role.PII_READER, at: Console = console, **looks: Any) -> Visitor:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | looks))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        visitor = Visitor(page, at.address)
        if role is not None:
            visitor.sign_in(at.api.key[role])
        return visitor

    yield come
    for context in contexts:
        context.close()
