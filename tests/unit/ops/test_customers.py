"""Reading customers while a worker goes on writing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest

from ops.lookup import find_customer
from ops.parity import all_states
from schemas.errors import UnknownCustomerError
from schemas.scorecard import Origin
from scoring.bootstrap import bootstrap_scorecard
from state.memory_store import MemoryStore
from streams.settings import Settings
from tests.support.purchases import Run, cdnow_of

SETTINGS = Settings(_env_file=None)


class BusyStore(MemoryStore):
    """A store in which a new scorecard comes into use right after the first call of one method."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = ""
        self.run: Run

    async def _then(self, method: str, answer: Any) -> Any:
        if self.moment == method:
            self.moment = ""
            card = bootstrap_scorecard().model_copy(update={"number": 1, "origin": Origin.FITTED})
            await self.save_scorecard(card.version, card.model_dump_json().encode(), current=True)
            await self.run.engine.adopt(0, card.version)
            while self.run.engine.owned[0].rescore_cursor is not None:
                await self.run.engine.rescore(0)
        return answer

    async def checkpoint(self, partition: int) -> Any:
        return await self._then("checkpoint", await super().checkpoint(partition))

    async def load_many(self, partition: int, customer_ids: Sequence[str]) -> Any:
        return await self._then("load_many", await super().load_many(partition, customer_ids))

    async def scorecards(self) -> Mapping[str, bytes]:
        answer: Mapping[str, bytes] = await self._then("scorecards", await super().scorecards())
        return answer


@pytest.fixture
async def store() -> BusyStore:
    """One partition of forty customers, counted."""
    busy = BusyStore()
    busy.run = await Run(1, SETTINGS, busy).start()
    await busy.found({"partitions": "1"})
    await busy.run.feed(cdnow_of(40), 500)
    return busy


@pytest.mark.parametrize("moment", ["checkpoint", "load_many", "scorecards"])
async def test_scorecard_that_comes_into_use_meanwhile_keeps_nobody_from_being_read(
    store: BusyStore, moment: str
) -> None:
    store.moment = moment
    customer = await find_customer(store, SETTINGS, "00003", wall_us=0)
    assert customer.numbers["frequency"][0] == 5
    assert store.moment == ""
    assert (await store.checkpoint(0)).adoptions[-1][1] == "fitted-1"


@pytest.mark.parametrize("moment", ["checkpoint", "load_many", "scorecards"])
async def test_all_customers_are_read_while_a_scorecard_comes_into_use(
    store: BusyStore, moment: str
) -> None:
    store.moment = moment
    read = [states async for _, states in all_states(store, SETTINGS, 1)]
    assert sum(len(states) for states in read) == 40
    assert store.moment == ""


async def test_customer_of_a_partition_being_rebuilt_from_nothing_is_as_of_their_own_row(
    store: BusyStore,
) -> None:
    before = (await find_customer(store, SETTINGS, "00003", wall_us=0)).profile()
    store.checkpoints.clear()
    after = (await find_customer(store, SETTINGS, "00003", wall_us=0)).profile()
    row = store.hashes[0, "00003"]
    assert after["as_of"] == datetime.fromisoformat(row["prob_alive_at"].decode())
    assert after["prob_alive"] == float(row["prob_alive"])
    same = ("segment", "frequency", "monetary_total", "sequence", "scorecard", "last_purchase_at")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}


async def test_row_whose_scorecard_redis_has_lost_names_it_and_the_next_step(
    store: BusyStore,
) -> None:
    store.checkpoints.clear()
    store._scorecards.clear()
    with pytest.raises(UnknownCustomerError, match=r"scored by 'bootstrap-0', which.*rebuild"):
        await find_customer(store, SETTINGS, "00003", wall_us=0)
