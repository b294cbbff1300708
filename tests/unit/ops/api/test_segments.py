"""The customer base: what is counted, and lists that are complete and without repeats."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ops.api.census import _merged
from ops.api.policy import Role
from tests.support.api import Api
from tests.support.purchases import Purchase, cdnow_of


async def all_members(
    api: Api, segment: str, limit: int, role: Role = Role.PII_READER
) -> list[str]:
    met: list[str] = []
    cursor: str | None = None
    while True:
        params: dict[str, Any] = {"limit": limit} | ({} if cursor is None else {"cursor": cursor})
        page = (await api.get(f"/segments/{segment}/customers", role, params=params)).json()
        assert len(page["customers"]) <= limit
        met += [customer["customer_id"] for customer in page["customers"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return met


async def test_sizes_and_value_are_those_of_the_customers(api: Api) -> None:
    found = (await api.get("/segments")).json()
    hashes = api.run.hashes()
    assert found["customers"] == len(hashes) == 60
    for segment in found["segments"]:
        members = [row for row in hashes.values() if row["segment"].decode() == segment["name"]]
        assert segment["customers"] == len(members)
        revenue = sum(float(row["monetary_total"]) - float(row["refund_total"]) for row in members)
        assert segment["revenue"] == pytest.approx(revenue)
        alive = sum(float(row["prob_alive"]) for row in members) / len(members)
        assert segment["mean_prob_alive"] == pytest.approx(alive)
    for share in ("share", "revenue_share"):
        assert sum(segment[share] for segment in found["segments"]) == pytest.approx(1)


async def test_flows_lead_from_nothing_to_the_sizes_there_are(api: Api) -> None:
    found = (await api.get("/segments")).json()
    balance = {segment["name"]: 0 for segment in found["segments"]}
    for flow in found["flows"]:
        balance[flow["current"]] += flow["changes"]
        if flow["previous"] is not None:
            balance[flow["previous"]] -= flow["changes"]
    assert balance == {segment["name"]: segment["customers"] for segment in found["segments"]}


@pytest.mark.parametrize("limit", [1, 7, 1_000])
async def test_pages_are_complete_and_without_repeats(api: Api, limit: int) -> None:
    met = []
    for segment in (await api.get("/segments")).json()["segments"]:
        members = await all_members(api, segment["name"], limit)
        assert len(members) == segment["customers"]
        met += members
    assert sorted(met) == sorted(api.run.hashes())


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 13])
async def test_sorted_lists_become_one_though_others_come_in_between(count: int) -> None:
    random = Random(count)
    runs = [sorted(f"{random.random()}" for _ in range(random.randrange(9))) for _ in range(count)]
    assert await _merged(runs) == sorted(chain(*runs))


async def test_pages_stay_complete_while_others_come_and_all_is_counted_anew(api: Api) -> None:
    before = await all_members(api, "Hibernating", 1_000)
    met: list[str] = []
    cursor, pages = "", 0
    while cursor is not None:
        params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/segments/Hibernating/customers", params=params)).json()
        met += [customer["customer_id"] for customer in page["customers"]]
        cursor = page["next_cursor"]
        pages += 1
        newcomer = f"N-{pages}"  # buys once, and is silent for long
        await api.buy(
            Purchase(newcomer, 10_200, 100, newcomer), Purchase("clock", 10_400, 1, newcomer)
        )
    assert len(met) == len(set(met))
    assert set(before) - set(met) <= {"clock"}
    assert len(before) == 34


async def test_cursor_tells_a_reader_no_id(api: Api) -> None:
    page = (await api.get("/segments/Champions/customers?limit=2", Role.READER)).json()
    from base64 import urlsafe_b64decode

    last = page["customers"][-1]["customer_id"]
    assert urlsafe_b64decode(page["next_cursor"]).hex() == last


async def test_unknown_segment_is_named_beside_those_there_are(api: Api) -> None:
    response = await api.get("/segments/Whales/customers")
    assert response.status_code == 404
    assert "'Whales'" in response.json()["detail"]
    assert "Champions" in response.json()["detail"]


@pytest.mark.parametrize("cursor", ["x", "MDAwMDM=", "é", "A" * 64])
async def test_cursor_of_somebody_elses_making_is_refused(api: Api, cursor: str) -> None:
    response = await api.get("/segments/Champions/customers", params={"cursor": cursor})
    assert response.status_code == 422


async def test_beyond_the_limit_customers_are_counted_and_not_listed(tmp_path: Path) -> None:
    api = await Api(tmp_path, census_customers_max=59).start()
    await api.buy(*cdnow_of(60))
    assert (await api.get("/segments")).json()["customers"] == 60
    response = await api.get("/segments/Champions/customers")
    assert response.status_code == 503
    assert "EVERSCORE_API_CENSUS_CUSTOMERS_MAX" in response.json()["detail"]


async def test_before_the_first_count_the_answer_is_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.api.census._FIRST_SECONDS_MAX", 0.01)
    api = await Api(tmp_path).start()
    response = await api.get("/segments")
    assert response.status_code == 503
    assert response.headers["retry-after"]


async def test_lag_is_what_kafka_holds_and_nobody_has_counted(api: Api) -> None:
    topic = api.run.settings.transactions_topic
    counted = {p: owned.checkpoint.next_offsets[topic] for p, owned in api.run.engine.owned.items()}
    api.ends = {(topic, p): offset + 3 for p, offset in counted.items()}
    await api.service.watch.look()
    fresh = (await api.get("/customers/00003")).json()["freshness"]
    assert fresh["lag_records"] == 3
    metrics = (await api.get("/metrics", Role.OPERATOR)).text
    assert 'everscore_lag_records{partition="0"} 3.0' in metrics
    assert 'everscore_customers{segment="Champions"} 16.0' in metrics


async def test_last_success_is_when_a_commit_was_seen(api: Api) -> None:
    assert (await api.get("/customers/00003")).json()["freshness"]["last_success_at"] is None
    await api.buy(Purchase("00003", 10_500, 700, "new"))
    fresh = (await api.get("/customers/00003")).json()["freshness"]
    assert fresh["last_success_at"] == "2026-11-21T12:00:00Z"
