"""P(alive) by Redis alone, as a script and as a function, beside what the worker computes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import redis

from ops.embedded.redis_server import EmbeddedRedis
from ops.lookup import Lookup
from schemas.errors import UnknownCustomerError
from schemas.scorecard import AliveParams, Family
from scoring.alive import prob_alive
from scoring.ledger import DayEntry, pack_days, summarise
from state.redis_store import RedisStore
from streams.settings import Settings
from tests.support.prob_alive_script import SHARED, put, random_params
from tests.support.purchases import Purchase, Run, cdnow_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Logarithms of one part in 1e16 times the largest exponent that a double can hold.
RTOL = 1e-12
SMALLEST = 1e-300  # below it doubles have fewer digits


def expected(entries: list[DayEntry], now: float, params: AliveParams) -> float | None:
    known = summarise(pack_days(entry for entry in entries if entry.day <= now))
    if known.frequency < 0:
        return None
    alive = prob_alive(
        np.array([known.frequency]),
        np.array([float(known.last_day - known.first_day)]),
        np.array([now - known.first_day]),
        params,
    )
    return float(alive[0])


def entries_of(rng: np.random.Generator, days: int) -> list[DayEntry]:
    """Purchases and refunds of all sizes, on days before and after 1970, some of them cancelled."""
    first = int(rng.integers(-9_000, 25_000))
    steps = np.where(rng.random(days) < 0.7, rng.integers(1, 4, days), rng.integers(1, 400, days))
    found = []
    for day in (first + np.cumsum(steps)).tolist():
        bought = int(10 ** rng.uniform(0, 17)) * int(rng.random() < 0.9)
        kind = rng.random()
        refunded = bought if kind < 0.1 else bought - 1 if kind < 0.2 else 0
        purchases = 0 if kind > 0.95 else int(rng.integers(1, 200))
        if not purchases:
            bought, refunded = 0, 5
        found.append(DayEntry(day, purchases, bought, max(refunded, 0)))
    return found


def moment_after(rng: np.random.Generator, entries: list[DayEntry]) -> tuple[str, float]:
    """A moment somewhere among the purchases or years later, as text and in civil days."""
    span = entries[-1].day - entries[0].day
    micros = int(
        rng.uniform(entries[0].day - 3, entries[-1].day + 10 + rng.choice([1, 300]) * (span + 30))
        * 86_400e6
    )
    if rng.random() < 0.3:
        micros -= micros % 86_400_000_000
        moment = EPOCH + timedelta(microseconds=micros)
        return moment.strftime("%Y-%m-%d"), micros / 86_400e6
    moment = EPOCH + timedelta(microseconds=micros)
    return moment.replace(tzinfo=None).isoformat() + rng.choice(["", "Z"]), micros / 86_400e6


@pytest.mark.parametrize("family", Family)
def test_random_histories_are_scored_as_the_worker_does(client, ask, family) -> None:
    rng = np.random.default_rng(7)
    scored = 0
    for number in range(200):
        params = random_params(rng, family)
        entries = entries_of(rng, int(rng.integers(1, 40)))
        keys = put(client, str(number), entries, params)
        text, now = moment_after(rng, entries)
        wanted = expected(entries, now, params)
        if wanted is None:
            with pytest.raises(redis.ResponseError, match="has no purchase until"):
                ask(keys, text)
            continue
        found = float(ask(keys, text))
        assert found == pytest.approx(wanted, rel=RTOL, abs=SMALLEST), (params, entries, text)
        scored += 1
    assert scored > 150


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("silence", [0, 1, 30, 3_000, 600_000])
def test_five_thousand_repeat_purchases_are_scored_as_the_worker_does(
    client, ask, family, silence
) -> None:
    rng = np.random.default_rng(silence)
    params = random_params(rng, family)
    entries = [DayEntry(day, 1, 10_000, 0) for day in range(1, 5_002)]
    keys = put(client, "often", entries, params)
    now = 5_001 + silence
    text = (EPOCH + timedelta(days=now)).strftime("%Y-%m-%d")
    wanted = expected(entries, float(now), params)
    assert wanted is not None
    assert float(ask(keys, text)) == pytest.approx(wanted, rel=RTOL, abs=SMALLEST)


def test_one_time_buyer_never_dies_under_bgnbd_and_does_under_mbgnbd(client, ask) -> None:
    bought = [DayEntry(10_000, 1, 10_000, 0)]
    rng = np.random.default_rng(1)
    params = random_params(rng, Family.BGNBD)
    assert ask(put(client, "bg", bought, params), "2300-01-01") == "1"
    params = params.model_copy(update={"family": Family.MBGNBD})
    found = float(ask(put(client, "mbg", bought, params), "2300-01-01"))
    now = float((datetime(2300, 1, 1, tzinfo=UTC) - EPOCH).days)
    assert found == pytest.approx(expected(bought, now, params), rel=RTOL)
    assert 0 < found < 1


def test_answer_has_every_digit_of_the_number(client, ask) -> None:
    params = AliveParams(r=0.525, alpha_days=43.281, a=0.891, b=1.614)
    keys = put(client, "x", [DayEntry(10_000, 1, 10_000, 0)], params)
    digits = [len(ask(keys, f"1998-06-{day:02}").removeprefix("0.")) for day in range(1, 31)]
    assert 16 <= max(digits) <= 17


# --- beside the look-up, on real purchases


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kolkata"])
async def counted(
    request: pytest.FixtureRequest, server: EmbeddedRedis, client: redis.Redis
) -> AsyncIterator[Lookup]:
    """CDNOW's first fifteen customers with some refunds, in one time zone."""
    settings = Settings(_env_file=None, redis=server.url, timezone=request.param)
    store = RedisStore(server.url)
    await store.found({"partitions": "4", "timezone": request.param})
    run = await Run(4, settings, store).start()
    purchases = cdnow_of(15)
    await run.feed(purchases, 500)
    await run.feed(
        [
            Purchase(p.customer_id, p.day, p.cents, f"back-{p.transaction_id}", "refund")
            for p in purchases[::3]
        ],
        500,
    )
    await run.sweep()
    yield Lookup(store, settings)
    await store.close()


async def test_any_day_equals_what_the_look_up_says(counted: Lookup, ask) -> None:
    at = [-1, 0, 30, 100, 181, 250, 365, 545, 800, 3_650]
    begin = (datetime(1997, 1, 1, tzinfo=UTC) - EPOCH).days
    compared = unknown = 0
    for number in range(1, 16):
        customer_id = f"{number:05}"
        for day in [begin + days for days in at]:
            moment = (EPOCH + timedelta(days=day)).strftime("%Y-%m-%d")
            at_us = int(counted.calendar.instant_of(np.array([float(day)]))[0])
            keys = [f"customer:{customer_id}", *SHARED]
            try:
                profile = (await counted.find(customer_id, 0, at_us)).profile()
            except UnknownCustomerError:
                profile = {}
            if "prob_alive" not in profile:
                with pytest.raises(redis.ResponseError, match="has no purchase until"):
                    ask(keys, moment)
                unknown += 1
                continue
            assert float(ask(keys, moment)) == pytest.approx(profile["prob_alive"], rel=RTOL)
            compared += 1
    assert compared > 90
    assert unknown > 5


async def test_moment_is_that_of_the_clocks_of_the_business(counted: Lookup, ask) -> None:
    keys = ["customer:00003", *SHARED]
    noon = datetime(1998, 12, 31, 17, 0, 0, 250_000, tzinfo=UTC)
    zone = counted.calendar.timezone_name
    civil = (noon + {"UTC": timedelta(0), "America/New_York": -timedelta(hours=5)}.get(
        zone, timedelta(hours=5, minutes=30)
    )).replace(tzinfo=None)  # fmt: skip
    at_us = (noon - EPOCH) // timedelta(microseconds=1)
    wanted = (await counted.find("00003", 0, at_us)).profile()["prob_alive"]
    for text in (civil.isoformat(), civil.isoformat(" ")):
        assert float(ask(keys, text)) == pytest.approx(wanted, rel=RTOL)
    abroad = "1998-12-31T18:00:00.25+01:00"
    if zone == "UTC":
        assert float(ask(keys, abroad)) == pytest.approx(wanted, rel=RTOL)
        return
    with pytest.raises(redis.ResponseError, match=f"has an offset.*{zone}"):
        ask(keys, abroad)
