"""How the console looks: on a phone, in the dark, to who sees it not at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.browser import VIEWS, Visitor

Arrive = Callable[..., Visitor]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_no_view_is_wider_than_the_window(arrive: Arrive, width: int, scheme: str) -> None:
    visitor = arrive(viewport={"width": width, "height": 844}, color_scheme=scheme)
    for view in VIEWS:
        visitor.go(view)
        visitor.page.get_by_role("heading", level=1).wait_for()
        visitor.page.wait_for_load_state("networkidle" if view != "live" else "load")
        assert visitor.overflow() <= 0, view
        visitor.shoot(f"{view.partition('/')[0] or 'home'}-{width}-{scheme}")
    assert visitor.complaints == []


def test_nothing_moves_for_those_who_asked_for_stillness(arrive: Arrive) -> None:
    visitor = arrive(reduced_motion="reduce").go("live")
    visitor.page.locator(".state.good").wait_for()
    moving = visitor.page.evaluate(
        "document.getAnimations().filter(one => one.playState === 'running').length"
    )
    assert moving == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(arrive: Arrive, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe  # where there is no browser, nor is this

    axe = Axe()
    visitor = arrive(color_scheme=scheme, bypass_csp=True)
    for view in VIEWS:
        visitor.go(view)
        visitor.page.get_by_role("heading", level=1).wait_for()
        visitor.page.wait_for_load_state("networkidle" if view != "live" else "load")
        serious = [
            (one["id"], node["html"][:200], node["failureSummary"])
            for one in axe.run(visitor.page).response["violations"]
            if one["impact"] in {"serious", "critical"}
            for node in one["nodes"]
        ]
        assert serious == [], view
