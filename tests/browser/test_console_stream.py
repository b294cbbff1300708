"""The console while the API tells, falls silent, goes away and comes back."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.support.browser import REFUSED, Visitor
from tests.support.console import LATER, Console
from tests.support.purchases import Purchase

Arrive = Callable[..., Visitor]


def test_live_feed_moves_and_is_filtered(arrive: Arrive, console: Console) -> None:
    visitor = arrive().go("live")
    page = visitor.page
    rows = page.locator(".feed .change")
    rows.first.wait_for()
    page.locator(".state.good").wait_for()
    fresh = console.buy(Purchase("new-1", LATER, 100, "n1"))  # silence does its work until then
    page.locator(".feed .change", has_text="new-1").wait_for()
    assert "new-1" in page.locator(".feed .change .id").all_inner_texts()[:fresh]
    visitor.shoot("live")
    page.get_by_label("Cause").select_option("silence")
    visitor.until(
        "document.querySelectorAll('.feed .change').length > 0 && "
        "[...document.querySelectorAll('.feed .cause')].every(one => one.textContent === 'silence')"
    )
    page.get_by_label("Cause").select_option("")
    page.get_by_label("Into segment").select_option("Champions")
    visitor.until(
        "document.querySelectorAll('.feed .change').length > 0 && [...document.querySelectorAll("
        "'.feed .move')].every(one => one.textContent.endsWith('Champions'))"
    )
    rows.first.locator("a").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('li').previousElementSibling !== null")
    assert visitor.complaints == []


def test_paused_feed_stands_still_and_goes_on_with_what_came_meanwhile(
    arrive: Arrive, console: Console
) -> None:
    visitor = arrive().go("live")
    page = visitor.page
    page.locator(".feed .change").first.wait_for()
    page.get_by_role("button", name="Pause").click()
    fresh = console.buy(Purchase("new-2", LATER, 100, "n2"))
    visitor.sees(f"; {fresh} waiting")
    assert page.locator(".feed .change", has_text="new-2").count() == 0
    page.get_by_role("button", name="Go on").click()
    page.locator(".feed .change", has_text="new-2").wait_for()


def test_feed_goes_on_where_it_broke_off_without_gap_or_repeat(
    arrive: Arrive, console: Console
) -> None:
    visitor = arrive().go("live")
    page = visitor.page
    page.locator(".feed .change").first.wait_for()
    before = console.fed()
    visitor.until(f"document.querySelectorAll('.feed .change').length === {before}")
    console.go_away()
    page.locator(".state.bad, .state.warn").first.wait_for()
    fresh = console.buy(
        *(Purchase(f"away-{number}", LATER, 100, f"a{number}") for number in range(3))
    )
    console.come_back()
    page.locator(".feed .change", has_text="away-2").wait_for()
    page.locator(".state.good").wait_for()
    names = page.locator(".feed .change .id").all_inner_texts()
    assert sorted(name for name in names if name.startswith("away")) == [
        "away-0",
        "away-1",
        "away-2",
    ]
    assert len(names) == before + fresh


def test_feed_of_a_hidden_tab_holds_no_connection_and_misses_nothing(
    arrive: Arrive, console: Console
) -> None:
    hide = (
        "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
        " document.dispatchEvent(new Event('visibilitychange')); }"
    )
    visitor = arrive().go("live")
    page = visitor.page
    page.locator(".feed .change").first.wait_for()
    before = console.fed()
    visitor.until(f"document.querySelectorAll('.feed .change').length === {before}")
    page.evaluate(hide, True)
    deadline = time.monotonic() + 60
    while console.api.service.streams:
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)
    fresh = console.buy(Purchase("unseen-1", LATER, 100, "u1"))
    assert page.locator(".feed .change", has_text="unseen-1").count() == 0
    page.evaluate(hide, False)
    page.locator(".feed .change", has_text="unseen-1").wait_for()
    assert page.locator(".feed .change").count() == before + fresh
    assert visitor.complaints == []


def test_api_that_is_down_is_told_in_one_line_and_the_page_recovers_by_itself(
    arrive: Arrive, console: Console
) -> None:
    visitor = arrive()
    visitor.sees("Champions")
    console.go_away()
    visitor.go("base")
    alert = visitor.page.locator("#trouble")
    alert.wait_for()
    assert "does not answer" in alert.inner_text()
    assert "everscore serve" in alert.inner_text()
    visitor.shoot("api-down")
    console.come_back()
    visitor.sees("Moves between segments")
    alert.wait_for(state="hidden")
    assert all(REFUSED in complaint for complaint in visitor.complaints)


def test_revoked_key_leads_back_to_signing_in(
    arrive: Arrive, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.api.keys._LOOK_SECONDS", 0.0)
    visitor = arrive()
    visitor.sees("Champions")
    console.erase_key("a-pii-reader")
    visitor.go("service")
    visitor.sees("Your key was refused")
    assert visitor.page.evaluate("sessionStorage.length") == 0
