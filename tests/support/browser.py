"""A browser for tests: skipped where there is none, unless it has to be (`REQUIRE_BROWSER=1`)."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

REQUIRE_BROWSER = "REQUIRE_BROWSER"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Where screenshots go, if somebody wants to look at them.
SHOTS = "CONSOLE_SHOTS"
_SECONDS_MAX = 60
VIEWS = ["", "customer/00003", "live", "base", "service"]
REFUSED = "Failed to load resource"  # the browser's own words about a request that was refused


def needs_browser() -> str:
    """The browser's path; skips or fails the test that calls this, where there is none."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    missing = "chromium" if found is None else "playwright" if not find_spec("playwright") else ""
    if missing and os.environ.get(REQUIRE_BROWSER) == "1":
        pytest.fail(f"{REQUIRE_BROWSER}=1, but there is no {missing}")
    if missing:
        pytest.skip(f"no {missing} here")
    return str(found)


class Visitor:
    """One person at one tab: what they see, and what the browser complains of.

    Attributes
    ----------
    page : playwright Page
    complaints : list of str
        Errors and warnings of the browser's console. A refused request is one of them, ours or not.
    """

    def __init__(self, page: Any, address: str) -> None:
        self.page = page
        self.address = address
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(f"thrown: {error}"))

    def _hear(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def sign_in(self, key: str) -> Visitor:
        """Open the page and show a key."""
        self.page.goto(self.address)
        self.page.get_by_label("API key").fill(key)
        self.page.keyboard.press("Enter")
        self.page.get_by_role("navigation", name="Views").wait_for()
        return self

    def go(self, place: str) -> Visitor:
        """Follow an address within the page, such as `live`."""
        self.page.evaluate("place => { location.hash = `#/${place}`; }", place)
        return self

    def sees(self, text: str) -> None:
        """Wait for a text to be there, or fail."""
        self.page.get_by_text(text).first.wait_for()

    def main(self) -> str:
        """What the page says, without its bar."""
        return str(self.page.locator("main").inner_text())

    def until(self, script: str) -> None:
        """Wait until a script says true; the page's own policy forbids the driver to wait by itself."""
        deadline = time.monotonic() + _SECONDS_MAX
        while not self.page.evaluate(script):
            assert time.monotonic() < deadline, script
            self.page.wait_for_timeout(50)

    def overflow(self) -> int:
        """How many px the page is wider than its window."""
        return int(
            self.page.evaluate("document.documentElement.scrollWidth - document.body.clientWidth")
        )

    def shoot(self, name: str) -> None:
        """Keep a picture, if somebody asked for them."""
        folder = os.environ.get(SHOTS)
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@contextmanager
def open_browser(path: str) -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path,
            # As root there is no sandbox, and in containers no shared memory to speak of.
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        try:
            yield browser
        finally:
            browser.close()
