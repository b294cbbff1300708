"""Re-scoring: page after page while nothing comes, short ones with long rests while purchases do."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from streams import rescoring
from streams.rescoring import Rescoring

PAGE_SECONDS = 0.3
CUSTOMERS_MAX = 200


class Installation:
    """A partition of so many pages, another that counts purchases, and a clock that both move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pages: int, *, purchases: int) -> None:
        self.seconds, self.rests, self.sizes = 0.0, [], []
        self.pages, self.purchases = pages, purchases
        checkpoints = [SimpleNamespace(applied=0), SimpleNamespace(applied=0)]
        self.owned = {
            0: SimpleNamespace(checkpoint=checkpoints[0], rescore_cursor=0),
            1: SimpleNamespace(checkpoint=checkpoints[1], rescore_cursor=None),
        }
        self.refused_at: int | None = None
        monkeypatch.setattr(rescoring, "_now", lambda: self.seconds)
        monkeypatch.setattr(rescoring.asyncio, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.seconds += seconds

    async def rescore(self, partition: int, customers_max: int) -> None:
        self.sizes.append(customers_max)
        self.seconds += PAGE_SECONDS
        self.owned[1].checkpoint.applied += self.purchases
        self.pages -= 1
        if not self.pages:
            self.owned[partition].rescore_cursor = None

    async def attempt(self, partition, step, *args) -> bool:
        await step(*args)
        return self.pages != self.refused_at

    def run(self, partition: int = 0) -> None:
        asyncio.run(Rescoring(self, CUSTOMERS_MAX, self.attempt).run(partition))


def test_pages_follow_one_another_while_nothing_comes(monkeypatch):
    here = Installation(monkeypatch, 5, purchases=0)
    here.run()
    assert (here.pages, here.rests, here.sizes) == (0, [], [CUSTOMERS_MAX] * 5)


def test_pages_are_short_and_rests_long_while_purchases_come(monkeypatch):
    here = Installation(monkeypatch, 6, purchases=3)
    here.run()
    assert here.pages == 0
    # Whether any comes is known once the first page is done.
    assert here.sizes == [CUSTOMERS_MAX] + [CUSTOMERS_MAX // 4] * 5
    assert here.rests == pytest.approx([PAGE_SECONDS * 4] * 5)


def test_rest_is_over_when_nothing_comes_any_more(monkeypatch):
    here = Installation(monkeypatch, 8, purchases=0)
    here.owned[1].checkpoint.applied = 7  # since we last looked
    here.run()
    assert here.sizes == [CUSTOMERS_MAX // 4] + [CUSTOMERS_MAX] * 7
    assert here.rests == pytest.approx([PAGE_SECONDS * 4])


def test_page_is_of_one_customer_at_least(monkeypatch):
    here = Installation(monkeypatch, 2, purchases=1)
    asyncio.run(Rescoring(here, 1, here.attempt).run(0))
    assert here.sizes == [1, 1]


def test_refused_page_ends_it_and_the_next_run_goes_on(monkeypatch):
    here = Installation(monkeypatch, 5, purchases=0)
    here.refused_at = 3
    here.run()
    assert here.pages == 3
    here.run()
    assert here.pages == 0


def test_partition_that_is_another_workers_or_up_to_date_costs_nothing(monkeypatch):
    here = Installation(monkeypatch, 5, purchases=0)
    here.run(1)
    here.run(7)
    assert (here.pages, here.seconds) == (5, 0.0)
