"""The console in a real browser: what a person on the phone does with it, and what they are told."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from ops.api.policy import Role
from schemas.dead_letter import DeadLetter
from tests.support.api import Counted
from tests.support.browser import REFUSED, VIEWS, Visitor
from tests.support.console import LATER, Console
from tests.support.purchases import Purchase

Arrive = Callable[..., Visitor]


def test_wrong_key_is_refused_in_one_line_and_the_right_one_stays_in_the_tab(
    arrive: Arrive, console: Console
) -> None:
    visitor = arrive(None)
    visitor.page.goto(visitor.address)
    assert visitor.complaints == []  # nothing was asked for that needs a key
    visitor.page.get_by_label("API key").fill("evs_wrong")
    visitor.page.keyboard.press("Enter")
    visitor.sees("That key opens nothing")
    assert all(REFUSED in complaint for complaint in visitor.complaints)
    key = console.api.key[Role.PII_READER]
    visitor.sign_in(key)
    page = visitor.page
    assert key not in page.url
    assert page.evaluate("Object.values(sessionStorage)") == [key]
    assert page.evaluate("localStorage.length") == 0
    assert page.evaluate("document.cookie") == ""
    page.reload()
    visitor.sees("Who is it?")
    page.get_by_role("button", name="Sign out").click()
    visitor.sees("API key")
    assert page.evaluate("sessionStorage.length") == 0


def test_what_is_typed_while_the_first_view_is_awaited_begins_a_search(
    arrive: Arrive, console: Console
) -> None:
    visitor = arrive(None)
    page = visitor.page
    page.route("**/segments", lambda _route: None)  # no answer, as long as it may take
    visitor.sign_in(console.api.key[Role.PII_READER])
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "query"


def test_customer_is_found_by_the_keyboard_alone(arrive: Arrive) -> None:
    visitor = arrive()
    page = visitor.page
    page.keyboard.press("/")
    page.keyboard.type("0000")
    options = page.get_by_role("option")
    options.nth(2).wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    chosen = page.locator("[role=option][aria-selected=true]").inner_text()
    assert chosen == options.nth(1).inner_text() == "00002"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="00002").wait_for()
    visitor.until("document.activeElement.id === 'content'")
    page.keyboard.press("/")
    page.keyboard.type("00")
    options.first.wait_for()
    page.keyboard.press("Escape")
    assert page.get_by_role("option").count() == 0
    page.keyboard.press("Escape")
    assert page.get_by_label("Customer id").input_value() == ""
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "content"
    assert visitor.complaints == []


def test_card_says_what_the_api_answers(arrive: Arrive, console: Console) -> None:
    profile = console.answer("/customers/00003")
    history = console.answer("/customers/00003/history")
    visitor = arrive().go("customer/00003")
    page = visitor.page
    page.get_by_role("heading", name="00003").wait_for()
    told = visitor.main()
    assert f"{round(profile['prob_alive'] * 100)} %" in told
    story = page.get_by_role("region", name="In plain words").inner_text()
    assert story.startswith(profile["segment"])
    assert "because" in story
    assert profile["next_changes"][0]["current"] in story
    for score in profile["rfm"].values():
        assert f"{score} of 5" in told
    rows = page.get_by_role("table", name="Last changes").locator("tbody tr")
    assert rows.count() == min(len(history["changes"]), 12)
    assert not page.get_by_text("expected_purchases_30d").is_visible()
    page.get_by_text("Raw fields").first.click()
    raw = page.get_by_role("table", name="Raw fields")
    assert raw.locator("tbody tr").count() > len(profile)
    assert str(profile["prob_alive"]) in raw.inner_text()
    visitor.shoot("card-raw")
    terms = page.get_by_text("Customers who are alike in P(alive)")
    assert not terms.is_visible()
    page.get_by_text("What the words mean").click()
    terms.wait_for()
    thresholds = console.answer("/customers/00003/outlook")["thresholds"]
    visitor.sees(f"lost below {round(thresholds['lost'] * 100)} %")
    assert visitor.complaints == []


def test_curve_is_read_day_by_day_and_shows_purchases_and_what_comes(
    arrive: Arrive, console: Console
) -> None:
    outlook = console.answer("/customers/00003/outlook?course_days=1830")
    visitor = arrive().go("customer/00003")
    page = visitor.page
    chart = page.locator(".chart")
    chart.locator("svg").wait_for()
    assert chart.locator(".purchase").count() == len(outlook["purchase_days"])
    assert chart.locator(".coming").count() == len(outlook["next_changes"]) > 0
    assert chart.locator(".threshold").count() == 2
    # Two of the changes are days apart: each name stands on its own side.
    middles = chart.locator(".coming text").evaluate_all(
        "names => names.map(one => one.getBBox()).map(box => box.x + box.width / 2)"
    )
    assert middles == sorted(middles)
    sides = chart.locator(".coming").evaluate_all(
        "all => all.map(one => one.querySelector('text').getBBox().x - one.querySelector('path').getBBox().x)"
    )
    assert sides[0] < 0 < sides[1]
    assert "if nothing is bought" in (chart.get_attribute("aria-label") or "")
    chart.focus()
    page.keyboard.press("Home")
    reading = page.locator(".reading")
    first = outlook["course"][0]["prob_alive"]
    assert reading.inner_text().startswith(f"{round(first * 100)} %")
    assert "bought for" in reading.inner_text()
    page.keyboard.press("ArrowRight")
    assert "bought for" not in reading.inner_text()
    page.keyboard.press("End")
    assert "if nothing is bought" in reading.inner_text()
    page.keyboard.press("Escape")
    assert reading.inner_text().endswith("now")
    assert visitor.complaints == []


def test_unknown_customer_is_told_what_to_do(arrive: Arrive) -> None:
    visitor = arrive()
    visitor.page.get_by_label("Customer id").fill("nobody-7")
    visitor.page.keyboard.press("Enter")
    visitor.sees("Nobody by that id")
    assert re.search(r"nobody-7.*Check it with the customer", visitor.main())
    visitor.shoot("unknown")
    assert visitor.complaints == []


def test_id_that_means_something_to_an_address_is_looked_up_like_any_other(
    arrive: Arrive, console: Console
) -> None:
    customer_id = "till/7#a%2F+&;é"
    console.buy(Purchase(customer_id, LATER, 4_200, "odd"))
    visitor = arrive()
    page = visitor.page
    page.keyboard.press("/")
    page.keyboard.type(customer_id)
    page.keyboard.press("Enter")
    heading = page.get_by_role("heading", name=f"Customer {customer_id}", exact=True)
    heading.wait_for()
    page.reload()
    heading.wait_for()
    page.locator(".chart svg").wait_for()
    assert page.get_by_role("table", name="Last changes").locator("tbody tr").count() == 2
    visitor.go("").sees("Lately")
    page.get_by_role("link", name=customer_id, exact=True).click()
    heading.wait_for()
    assert visitor.complaints == []


def test_id_that_a_browser_takes_for_a_folder_is_shown_without_what_goes_by_path(
    arrive: Arrive, console: Console
) -> None:
    console.buy(Purchase("..", LATER, 4_200, "dots"))
    visitor = arrive().go("customer/..")
    visitor.page.get_by_role("heading", name="Customer ..", exact=True).wait_for()
    visitor.sees("the id is no more than dots")
    assert visitor.complaints == []


def test_card_follows_what_the_customer_does(
    arrive: Arrive, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = arrive()
    visitor.page.clock.install()
    visitor.go("customer/00003")
    visitor.page.get_by_role("heading", name="00003").wait_for()
    visitor.page.get_by_text("Raw fields").first.click()
    before = console.answer("/customers/00003")["frequency"]
    console.buy(Purchase("00003", LATER, 4_200, "later"))
    visitor.page.clock.run_for(20_000)
    visitor.sees(f"{before + 1} repeat purchases")
    assert visitor.page.locator("details[open] summary").all_inner_texts() == ["Raw fields"]
    assert visitor.complaints == []


def test_reason_that_looks_like_markup_stays_text(arrive: Arrive, console: Console) -> None:
    """Ids may hold no bracket; what a producer has sent, and a dead letter quotes, may hold anything."""
    reason = "<img src=x onerror=alert(1)>"
    letter = DeadLetter(
        error_class="MalformedError", message=reason, topic="transactions", partition=0, offset=7
    )
    console.api.service.dead_letters.add(
        SimpleNamespace(headers=letter.headers(), partition=0, offset=0, timestamp=0)
    )
    visitor = arrive()
    visitor.page.on("dialog", lambda _dialog: pytest.fail("a producer's text was run"))
    visitor.go("service").sees(reason)
    assert visitor.page.locator("main img").count() == 0
    assert visitor.complaints == []


def test_base_shows_the_numbers_of_the_api(arrive: Arrive, console: Console) -> None:
    found = console.answer("/segments")
    base = console.answer("/customer-base")
    visitor = arrive().go("base")
    page = visitor.page
    page.locator(".ribbon").first.wait_for()
    moves = [flow for flow in found["flows"] if flow["previous"] is not None]
    assert page.locator(".ribbon").count() == len(moves)
    page.get_by_label("with first purchases").check()
    visitor.until(f"document.querySelectorAll('.ribbon').length === {len(found['flows'])}")
    for segment in found["segments"]:
        tile = page.locator(".tile", has_text=segment["name"])
        assert re.search(rf"\b{segment['customers']}\s+customer", tile.inner_text())
    for number, name in enumerate(("rfm", "matrix")):
        cells = page.locator(".heat").nth(number).locator("td:not(.nobody)")
        assert cells.count() == len(base[name])
    assert visitor.complaints == []


def test_state_tells_lag_scorecard_and_partitions(arrive: Arrive) -> None:
    visitor = arrive().go("service")
    visitor.sees("State of the service")
    rows = visitor.page.get_by_role("table", name="Partitions").locator("tbody tr")
    assert rows.count() == 4
    told = visitor.main()
    assert "bootstrap-0" in told
    assert "everscore doctor" in told
    assert visitor.complaints == []


def test_role_without_a_right_is_told_which_one(arrive: Arrive) -> None:
    visitor = arrive(Role.OPERATOR)
    assert not visitor.page.get_by_label("Customer id").is_visible()
    visitor.go("live").sees("has no right to changes")
    visitor.go("service").sees("State of the service")
    assert visitor.complaints == []


def test_reader_sees_quarters_and_pseudonyms_and_nothing_breaks(arrive: Arrive) -> None:
    visitor = arrive(Role.READER).go("customer/00003")
    visitor.page.locator("h1 .id").wait_for()
    assert re.fullmatch(r"[0-9a-f]{64}", visitor.page.locator("h1 .id").inner_text())
    assert re.search(r"Q\d 199\d", visitor.main())
    for view in VIEWS[2:]:
        visitor.go(view)
        visitor.page.get_by_role("heading", level=1).wait_for()
    visitor.page.keyboard.press("/")
    visitor.page.keyboard.type("0000")
    visitor.page.keyboard.press("Enter")
    visitor.sees("Nobody by that id")
    assert visitor.complaints == []


def test_empty_installation_says_what_to_start(
    arrive: Arrive, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = Console(tmp_path_factory.mktemp("empty"))
    try:
        visitor = arrive(at=empty)
        visitor.sees("No customer has been counted yet")
        assert "everscore worker" in visitor.main()
        visitor.shoot("empty")
        visitor.go("base").sees("everscore replay")
        visitor.go("live").sees("No change yet")
        visitor.go("service").sees("No dead letters")
        assert [one for one in visitor.complaints if REFUSED not in one] == []
    finally:
        empty.end()


def test_server_without_keys_asks_for_none(
    arrive: Arrive, tmp_path_factory: pytest.TempPathFactory, sixty: Counted
) -> None:
    open_to_oneself = Console(tmp_path_factory.mktemp("open"), sixty, authentication=False)
    try:
        visitor = arrive(None, at=open_to_oneself)
        visitor.page.goto(visitor.address)
        visitor.sees("Champions")
        assert not visitor.page.get_by_role("button", name="Sign out").is_visible()
        assert visitor.complaints == []
    finally:
        open_to_oneself.end()
