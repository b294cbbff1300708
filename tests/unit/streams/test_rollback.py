"""Scorecards published, and the way back: everyone to the segment they were in."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter

import pytest

from schemas.scorecard import AliveParams, Family, LifecycleThresholds, Origin, Scorecard
from scoring.bootstrap import bootstrap_scorecard
from scoring.refit import RefitOptions, refit
from state.memory_store import MemoryStore
from state.outbox import count_records
from streams.homes import home_partition
from streams.scorecards import publish_scorecard
from streams.settings import Settings
from tests.parity.test_learning_parity import known_on
from tests.support.purchases import Purchase, Run, cdnow_of

SETTINGS = Settings(_env_file=None)
US_PER_DAY = 86_400_000_000
CUSTOMERS, PARTITIONS = 1_500, 2
LEARNT_ON, LAST_DAY = 10_226, 10_407  # 1997-12-31, 1998-06-30


class Log:
    """Kafka's side: what was told, and when."""

    def __init__(self, store=None) -> None:
        self.told: dict[str, bytes] = {}
        self.store = store
        self.current_when_told: list[str | None] = []

    async def scorecards(self):
        return dict(self.told)

    async def publish(self, outgoing):
        assert count_records(outgoing) == 1
        if self.store is not None:
            self.current_when_told.append(await self.store.current_scorecard())
        self.told[outgoing[0].key.decode()] = outgoing[0].value


async def publish(store, log, card):
    return await publish_scorecard(card, store, log, log, SETTINGS)


def learnt(day: int, count: int, current: Scorecard | None = None) -> Scorecard:
    _, customers = known_on(day)
    options = RefitOptions(Family.MBGNBD, count, 0.05, LifecycleThresholds(), "test")
    calendar = Run(1).engine.calendar
    current = current or bootstrap_scorecard()
    return refit(customers, day * US_PER_DAY, current, options, calendar, seed=1).scorecard


async def adopt(run: Run, card: Scorecard) -> None:
    await run.engine.load_scorecards()
    for partition in range(run.partitions):
        committed = await run.engine.adopt(partition, card.version)
        assert committed is not None
        run.published += committed.messages
        while run.engine.owned[partition].rescore_cursor is not None:
            committed = await run.engine.rescore(partition)
            run.published += committed.messages if committed else []
    await run.sweep()


def segments(run: Run) -> dict[str, bytes]:
    return {customer: fields["segment"] for customer, fields in run.hashes().items()}


def lifecycles(run: Run) -> dict[str, bytes]:
    return {customer: fields["lifecycle"] for customer, fields in run.hashes().items()}


@pytest.fixture(scope="module")
def first() -> Scorecard:
    return learnt(LEARNT_ON, 4)


def elsewhere(card: Scorecard) -> Scorecard:
    """A scorecard of somebody else's customers: many change sides."""
    alive = AliveParams(r=1.2, alpha_days=20.0, a=0.9, b=1.1)
    return card.model_copy(update={"alive": alive})


_REACHED: dict[int, tuple[MemoryStore, dict[int, int], Log]] = {}


async def run_until(day: int, card: Scorecard) -> tuple[Run, Log]:
    """CDNOW through the engine, scored by a card since its middle; a copy of its own for each test."""
    if day not in _REACHED:
        purchases = [purchase for purchase in cdnow_of(CUSTOMERS) if purchase.day <= day]
        middle = [purchase for purchase in purchases if purchase.day <= LEARNT_ON]
        run, log = await Run(PARTITIONS, SETTINGS).start(), Log()
        await run.feed(middle, 500, sweep_every=2)
        await adopt(run, await publish(run.store, log, card))
        await run.feed(purchases[len(middle) :], 500, sweep_every=2)
        await run.sweep(day * US_PER_DAY + US_PER_DAY // 2)
        _REACHED[day] = run.store, run._offsets, log
    store, offsets, log = copy.deepcopy(_REACHED[day])
    run = await Run(PARTITIONS, SETTINGS, store).start()
    run._offsets = offsets
    return run, log


DETOURS = {
    "a later refit": lambda card: [learnt(LAST_DAY, 4, card)],
    "five segments": lambda card: [learnt(LAST_DAY, 5, card)],
    "strange parameters": lambda card: [elsewhere(card)],
    "two in a row": lambda card: [learnt(LAST_DAY, 5, card), learnt(LAST_DAY, 3, card)],
}


@pytest.mark.parametrize("name", DETOURS)
async def test_rollback_brings_every_customer_back_to_the_former_segment(first, name):
    run, log = await run_until(LAST_DAY, first)
    before, lives = segments(run), lifecycles(run)
    assert len(before) == CUSTOMERS
    for card in DETOURS[name](first):
        await adopt(run, await publish(run.store, log, card))
    moved = {customer for customer, segment in segments(run).items() if segment != before[customer]}
    assert len(moved) > 5
    run.published.clear()
    restoring = first.model_copy(update={"restores": "fitted-1"})
    back = await publish(run.store, log, restoring)
    assert back.number == 2 + len(DETOURS[name](first))
    await adopt(run, back)
    assert segments(run) == before
    assert lifecycles(run) == lives
    told = [change for change in run.changes() if change["type"].startswith("everscore.segment")]
    assert {change["customer_id"] for change in told} == moved
    assert {change["cause"] for change in run.changes()} == {"scorecard"}
    assert all(fields["scorecard"] == back.version.encode() for fields in run.hashes().values())


async def test_without_saying_what_it_restores_the_same_numbers_leave_customers_behind(first):
    """What `restores` is for: hysteresis holds customers where another scorecard led them."""
    run, log = await run_until(LAST_DAY, first)
    before = segments(run)
    await adopt(run, await publish(run.store, log, elsewhere(first)))
    await adopt(run, await publish(run.store, log, first))
    assert sum(segments(run)[customer] != before[customer] for customer in before) > 0


async def test_purchases_and_silence_between_there_and_back_count_as_under_the_former_numbers(
    first,
):
    """Who stands away from a border ends where they would have without the detour."""
    until = LAST_DAY - 60
    run, log = await run_until(until, first)
    never, _ = await run_until(until, first)
    later = [purchase for purchase in cdnow_of(CUSTOMERS) if until < purchase.day <= LAST_DAY]
    await adopt(run, await publish(run.store, log, elsewhere(first)))
    for one in (run, never):
        await one.feed(later, 500, sweep_every=2)
        await one.sweep(LAST_DAY * US_PER_DAY + US_PER_DAY // 2)
    back = first.model_copy(update={"restores": "fitted-1"})
    await adopt(run, await publish(run.store, log, back))
    different = Counter(
        segments(run)[customer] == segment for customer, segment in segments(never).items()
    )
    assert different[False] <= 0.01 * CUSTOMERS


async def test_partition_that_never_knew_the_former_scorecard_takes_its_numbers_as_new(first):
    run = await Run(PARTITIONS, SETTINGS).start()
    await run.feed(cdnow_of(300), 500)
    restoring = first.model_copy(update={"restores": "fitted-77"})
    await adopt(run, await publish(run.store, Log(), restoring))
    assert {fields["segment"].decode() for fields in run.hashes().values()} <= set(first.segments)


async def test_first_purchase_in_between_has_a_segment_afterwards(first):
    run, log = await run_until(LEARNT_ON + 5, first)
    await adopt(run, await publish(run.store, log, learnt(LAST_DAY, 5, first)))
    newcomer = "C-new"
    assert home_partition(newcomer, PARTITIONS) < PARTITIONS
    await run.feed([Purchase(newcomer, LEARNT_ON + 9, 2_000, "t-new")], 1)
    await adopt(
        run, await publish(run.store, log, first.model_copy(update={"restores": "fitted-1"}))
    )
    assert segments(run)[newcomer].decode() in first.segments


# --- publishing ---------------------------------------------------------------------------------------


async def test_kafka_has_a_scorecard_before_it_is_the_one_in_use(first):
    store = MemoryStore()
    log = Log(store)
    card = await publish(store, log, first)
    again = await publish(store, log, first)
    assert (card.version, again.version) == ("fitted-1", "fitted-2")
    assert log.current_when_told == [None, "fitted-1"]
    assert await store.current_scorecard() == "fitted-2"
    assert (await store.scorecards())["fitted-2"] == log.told["fitted-2"]


async def test_number_is_not_given_again_where_only_kafka_remembers_it(first):
    log = Log()
    await publish(MemoryStore(), log, first)
    assert (await publish(MemoryStore(), log, first)).number == 2


async def test_number_is_not_given_again_to_a_scorecard_of_another_origin(first):
    store, log = MemoryStore(), Log()
    await publish(store, log, first)
    way_back = bootstrap_scorecard().model_copy(update={"restores": "bootstrap-0"})
    card = await publish(store, log, way_back)
    assert (card.version, card.origin) == ("bootstrap-2", Origin.BOOTSTRAP)


class Hasty(MemoryStore):
    """Everybody looks before anybody writes."""

    async def scorecards(self):
        found = await super().scorecards()
        await asyncio.sleep(0)
        return found


async def test_two_who_publish_at_once_get_a_number_each_and_the_higher_one_is_in_use(first):
    store, log = Hasty(), Log()
    wanted = [first.model_copy(update={"hysteresis": h}) for h in (0.1, 0.2, 0.3)]
    cards = await asyncio.gather(*(publish(store, log, card) for card in wanted))
    assert {card.hysteresis for card in cards} == {0.1, 0.2, 0.3}
    assert len({card.number for card in cards}) == 3
    assert {version: log.told[version] for version in log.told} == {
        card.version: card.model_dump_json().encode() for card in cards
    }
    newest = max(cards, key=lambda card: card.number)
    assert await store.current_scorecard() == newest.version


async def test_slower_publisher_of_a_lower_number_does_not_take_the_newer_one_out_of_use(first):
    store, late = MemoryStore(), Log()

    class Slow(Log):
        async def publish(self, outgoing):
            await super().publish(outgoing)
            await publish(store, late, first)  # meanwhile

    slow = await publish(store, Slow(), first)
    assert slow.version == "fitted-1"
    assert await store.current_scorecard() == "fitted-2"
