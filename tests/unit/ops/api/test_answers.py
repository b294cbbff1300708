"""What the API says of customers: as of now, of other days, by the batch, and what happened to them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ops.api.policy import Role
from ops.api.view import pseudonym
from schemas.erasure import erasure_headers
from schemas.scorecard import Family
from schemas.transaction import LAST_US
from scoring.bootstrap import bootstrap_scorecard
from streams.homes import home_partition
from streams.settings import Settings
from tests.support.api import PARTITIONS, Api, Counted, counted
from tests.support.notebook import check_equal, notebook
from tests.support.purchases import LogRecord, Purchase, cdnow_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BOUGHT = cdnow_of(60)
IDS = [f"{number:05}" for number in range(1, 61)]


async def batch(api: Api, at: str | None = None) -> dict[str, dict]:
    body = {"ids": IDS} | ({} if at is None else {"at": at})
    answer = (await api.post("/customers:batchGet", json=body)).json()
    return {customer["customer_id"]: customer for customer in answer["customers"]}


# --- as of now, and of other days


@pytest.fixture(scope="module", params=Family)
def of_family(request: pytest.FixtureRequest) -> tuple[Settings, Counted]:
    settings = Settings(_env_file=None, family=request.param)
    return settings, asyncio.run(counted(cdnow_of(60), settings))


@pytest.fixture
async def scored(tmp_path: Path, of_family: tuple[Settings, Counted]) -> Api:
    return await Api(tmp_path, of_family[0]).start(of_family[1])


async def test_scores_of_now_equal_lifetimes(scored: Api) -> None:
    api, params = scored, bootstrap_scorecard(scored.run.settings.family).alive
    found = await batch(api, at="1998-06-30")
    check_equal(found, notebook(BOUGHT, "1998-06-30", params))
    now = await batch(api)
    # Each partition's clock stands where its log ends.
    for day in {customer["as_of"] for customer in now.values()}:
        of_day = {name: one for name, one in now.items() if one["as_of"] == day}
        check_equal(of_day, notebook(BOUGHT, day[:10], params).loc[sorted(of_day)])


@pytest.mark.parametrize(
    "day", ["1997-01-02", "1997-03-31", "1997-09-30", "1998-01-01", "1998-12-31", "2005-02-28"]
)
async def test_other_day_equals_what_a_notebook_would_have_computed_then(
    scored: Api, day: str
) -> None:
    params = bootstrap_scorecard(scored.run.settings.family).alive
    check_equal(await batch(scored, at=day), notebook(BOUGHT, day, params))


async def test_other_time_zone_counts_its_own_days_as_a_notebook_there_would(
    tmp_path: Path,
) -> None:
    """CDNOW's days begin at midnight UTC, which in New York is the evening before."""
    zone = "America/New_York"
    settings = Settings(_env_file=None, timezone=zone)
    api = await Api(tmp_path, settings).start(await counted(BOUGHT, settings))
    params = bootstrap_scorecard(settings.family).alive
    for day in ("1997-01-01", "1997-04-06", "1997-10-26", "1998-06-29", "1999-12-31"):
        check_equal(await batch(api, at=day), notebook(BOUGHT, day, params, zone))


async def test_one_customer_alone_is_scored_as_lifetimes_has_them(scored: Api) -> None:
    params = bootstrap_scorecard(scored.run.settings.family).alive
    now = await batch(scored)
    for customer_id in IDS[::6]:
        alone = (await scored.get(f"/customers/{customer_id}")).json()
        assert alone["as_of"] == now[customer_id]["as_of"]
        wanted = notebook(BOUGHT, alone["as_of"][:10], params).loc[customer_id, "prob_alive"]
        assert abs(alone["prob_alive"] - wanted) <= 1e-12
        asked = f"/customers/{customer_id}?at=1997-09-30"
        then = (await scored.get(asked)).json()
        wanted = notebook(BOUGHT, "1997-09-30", params).loc[customer_id, "prob_alive"]
        assert abs(then["prob_alive"] - wanted) <= 1e-12


async def test_purchase_on_the_very_day_counts(api: Api) -> None:
    before = (await api.get("/customers/00003?at=1997-11-24")).json()
    that_day = (await api.get("/customers/00003?at=1997-11-25")).json()
    assert (before["frequency"], that_day["frequency"]) == (3, 4)
    assert that_day["silence_days"] == 0


async def test_moment_within_a_day_is_as_exact_as_the_day_is_long(api: Api) -> None:
    noon = (await api.get("/customers/00003", params={"at": "1997-06-30T13:00:00+01:00"})).json()
    assert noon["as_of"] == "1997-06-30T12:00:00Z"
    assert noon["age_days"] == 179.5


async def test_customer_before_their_first_purchase_is_not_known(api: Api) -> None:
    response = await api.get("/customers/00003?at=1996-12-31")
    assert response.status_code == 404
    assert "until 1996-12-31" in response.json()["detail"]


@pytest.mark.parametrize(
    "at",
    [
        "yesterday",
        "1998-13-01",
        "1998-06-30T12:00:00",
        "0001-01-01",
        "9999-12-31",
        "-5",
        "19980630",
    ],
)
async def test_moment_that_is_none_is_refused_with_an_example(api: Api, at: str) -> None:
    response = await api.get("/customers/00003", params={"at": at})
    assert response.status_code == 422
    assert "2026-11-21" in response.json()["detail"]


async def test_live_customer_is_scored_by_the_wall_clock(tmp_path: Path) -> None:
    api = await Api(tmp_path).start()
    bought = api.now - timedelta(days=3)
    purchase = Purchase("C-1", (bought - EPOCH).days, 500, "t-1")
    # It arrives as it happens: from then on the partition is live.
    record = LogRecord(0, purchase.value, timestamp=purchase.day * 86_400_000)
    home = home_partition("C-1", PARTITIONS)
    await api.run.process(home, [record])
    first = (await api.get("/customers/C-1")).json()
    assert first["as_of"] == "2026-11-21T12:00:00Z"
    api.now += timedelta(days=30)
    later = (await api.get("/customers/C-1")).json()
    assert later["as_of"] == "2026-12-21T12:00:00Z"
    assert later["prob_alive"] < first["prob_alive"]
    params = bootstrap_scorecard().alive
    odds_dead = params.a / params.b * ((params.alpha_days + 33.5) / params.alpha_days) ** params.r
    assert later["prob_alive"] == pytest.approx(1 / (1 + odds_dead), abs=1e-12)


async def test_unscored_customer_has_nulls_where_scores_would_be(api: Api) -> None:
    await api.buy(
        Purchase("C-9", 10_000, 500, "t-1"), Purchase("C-9", 10_000, 500, "t-2", "refund")
    )
    found = (await api.get("/customers/C-9")).json()
    assert (found["segment"], found["prob_alive"], found["rfm"], found["margin"]) == (None,) * 4
    assert (await api.get("/customers/C-9/outlook")).json()["days"] == []


# --- ETag


async def test_etag_holds_until_a_purchase_and_then_no_more(api: Api) -> None:
    first = await api.get("/customers/00003")
    etag = first.headers["etag"]
    for given in (etag, f'"other", {etag}', etag.removeprefix("W/"), "*"):
        again = await api.get("/customers/00003", headers={"If-None-Match": given})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    await api.buy(Purchase("00003", 10_500, 700, "new"))
    fresh = await api.get("/customers/00003", headers={"If-None-Match": etag})
    assert fresh.status_code == 200
    assert fresh.json()["frequency"] == first.json()["frequency"] + 1


async def test_etag_is_not_that_of_another_role_or_another_day(api: Api) -> None:
    tags = {
        (await api.get("/customers/00003", Role.PII_READER)).headers["etag"],
        (await api.get("/customers/00003", Role.READER)).headers["etag"],
        (await api.get("/customers/00003?at=1998-03-31")).headers["etag"],
        (await api.get("/customers/00003?at=1998-12-31")).headers["etag"],
    }
    assert len(tags) == 4


# --- many


async def test_many_come_in_the_order_asked_for_each_once_and_unknown_ones_are_named(
    api: Api,
) -> None:
    body = {"ids": ["00009", "nobody", "00003", "00009"]}
    found = (await api.post("/customers:batchGet", json=body)).json()
    assert [customer["customer_id"] for customer in found["customers"]] == ["00009", "00003"]
    assert found["unknown"] == ["nobody"]
    alone = (await api.get("/customers/00003")).json()
    assert found["customers"][1] == alone


@pytest.mark.parametrize("ids", [[], [f"C-{number}" for number in range(1_001)], "00003", [7]])
async def test_batch_of_none_of_too_many_or_of_no_ids_is_refused(api: Api, ids: object) -> None:
    assert (await api.post("/customers:batchGet", json={"ids": ids})).status_code == 422
    assert api.store.loaded == []


# --- what readers see


async def test_reader_sees_pseudonyms_and_quarters_and_nothing_that_gives_them_away(
    api: Api,
) -> None:
    name = pseudonym(api.service.secret, "00003")
    for path in ("", "/outlook", "/history"):
        response = await api.get(f"/customers/00003{path}", Role.READER)
        assert response.json()["customer_id"] == name
        assert "00003" not in response.text
        assert "1998-05-28" not in response.text  # the last purchase
    found = (await api.get("/customers/00003", Role.READER)).json()
    assert (found["first_purchase_at"], found["last_purchase_at"]) == ("1997-Q1", "1998-Q2")
    assert (found["age_days"], found["t_x_days"], found["silence_days"]) == (None, None, None)
    clear = (await api.get("/customers/00003")).json()
    assert found["prob_alive"] == clear["prob_alive"]


async def test_reader_asks_for_whom_they_were_shown(api: Api) -> None:
    listed = (await api.get("/segments/Champions/customers?limit=1", Role.READER)).json()
    name = listed["customers"][0]["customer_id"]
    found = (await api.get(f"/customers/{name}", Role.READER)).json()
    assert (found["customer_id"], found["segment"]) == (name, "Champions")
    unknown = await api.get(f"/customers/{'0' * 64}", Role.READER)
    assert unknown.status_code == 404


async def test_reader_cannot_find_a_day_by_asking_day_after_day(api: Api) -> None:
    assert (await api.get("/customers/00003?at=1998-03-31", Role.READER)).status_code == 200
    response = await api.get("/customers/00003?at=1998-03-30", Role.READER)
    assert response.status_code == 403
    body = {"ids": ["00003"], "at": "1998-03-30"}
    assert (await api.post("/customers:batchGet", Role.READER, json=body)).status_code == 403


# --- outlook and history


async def test_outlook_goes_on_from_the_profile_and_names_the_changes_to_come(api: Api) -> None:
    profile = (await api.get("/customers/00003")).json()
    found = (await api.get("/customers/00003/outlook?days=300&past_days=5")).json()
    days = {one["at"]: one["prob_alive"] for one in found["days"]}
    assert len(days) == 306
    assert days[profile["as_of"]] == profile["prob_alive"]
    assert list(days.values()) == sorted(days.values(), reverse=True)
    assert found["next_changes"] == profile["next_changes"]
    fading = next(step for step in found["next_changes"] if step["current"] == "fading")
    before = [p for at, p in days.items() if at < fading["at"]]
    assert min(before) >= found["thresholds"]["fading"] > min(days.values())
    assert sum(day["amount"] for day in found["purchase_days"]) == pytest.approx(
        profile["monetary_total"]
    )


async def test_history_is_every_change_told_in_order_with_its_cause(api: Api) -> None:
    for customer_id, told in api.run.by_customer().items():
        found = (await api.get(f"/customers/{customer_id}/history")).json()
        assert found["complete"]
        assert found["told"] == len(told)
        for ours, theirs in zip(found["changes"], told, strict=True):
            assert {name: ours[name] for name in theirs} == theirs


async def test_history_says_where_memory_ends(tmp_path: Path) -> None:
    api = await Api(tmp_path, changes_max=50).start()
    await api.buy(*cdnow_of(60))
    complete = [(await api.get(f"/customers/{customer_id}/history")).json() for customer_id in IDS]
    assert sum(len(one["changes"]) for one in complete) == 50
    for one in complete:
        assert one["complete"] == (len(one["changes"]) == one["told"])
        sequences = [change["sequence"] for change in one["changes"]]
        assert sequences == list(range(one["told"] - len(sequences) + 1, one["told"] + 1))
    assert not all(one["complete"] for one in complete)
    assert {one["remembered"]["changes"] for one in complete} == {50}


async def test_erased_customer_is_unknown_and_forgotten_save_for_the_erasure(api: Api) -> None:
    home = home_partition("00003", PARTITIONS)
    offset = api.run.engine.owned[home].checkpoint.next_offsets["transactions"]
    await api.run.process(home, [LogRecord(offset, None, key=b"00003", headers=erasure_headers())])
    api.tell()
    assert (await api.get("/customers/00003")).status_code == 404
    assert "erased" in (await api.get("/customers/00003/history")).json()["detail"]
    assert [change["cause"] for change in api.memory.of("00003")] == ["erasure"]


async def test_reader_asks_for_many_whom_they_were_shown(api: Api) -> None:
    listed = (await api.get("/segments/Loyal/customers", Role.READER)).json()
    names = [customer["customer_id"] for customer in listed["customers"]]
    body = {"ids": [*names, "0" * 64]}
    found = (await api.post("/customers:batchGet", Role.READER, json=body)).json()
    assert [customer["customer_id"] for customer in found["customers"]] == names
    assert {customer["segment"] for customer in found["customers"]} == {"Loyal"}
    assert found["unknown"] == ["0" * 64]


async def test_change_to_come_too_late_for_the_calendar_is_not_told(api: Api) -> None:
    customer = await api.service.lookup.find("00003", 0)
    customer._states.numbers["next_review_us"] = LAST_US + 1
    assert customer.foreseen() == []
