"""What only the console asks for: the base in tables, ids that begin so, the state of the service."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from ops.api import documents, overview_documents
from ops.api.cross_tables import FREQUENCY_FROM, SILENCE_FROM
from ops.api.policy import Role
from schemas.dead_letter import DeadLetter
from tests.support.api import Api
from tests.support.purchases import Purchase, cdnow_of

IDS = ("00003", "00007", "00012", "00045")


async def test_tables_count_every_customer_as_their_profiles_do(api: Api) -> None:
    base = overview_documents.CustomerBase.model_validate((await api.get("/customer-base")).json())
    rfm: Counter[tuple[int, int]] = Counter()
    matrix: Counter[tuple[int, int]] = Counter()
    alive: Counter[tuple[int, int]] = Counter()
    for customer_id in api.run.hashes():
        one = (await api.get(f"/customers/{customer_id}")).json()
        rfm[one["rfm"]["recency"], one["rfm"]["frequency"]] += 1
        cell = (
            max(start for start in FREQUENCY_FROM if start <= one["frequency"]),
            max(start for start in SILENCE_FROM if start <= one["silence_days"]),
        )
        matrix[cell] += 1
        alive[cell] += one["prob_alive"]
    assert {(cell.recency, cell.frequency): cell.customers for cell in base.rfm} == rfm
    found = {(cell.frequency_from, cell.silence_days_from): cell for cell in base.matrix}
    assert {cell: one.customers for cell, one in found.items()} == matrix
    for cell, one in found.items():
        assert one.mean_prob_alive == pytest.approx(alive[cell] / matrix[cell])
    segments = (await api.get("/segments")).json()["segments"]
    assert sum(cell.revenue for cell in base.rfm) == pytest.approx(
        sum(segment["revenue"] for segment in segments)
    )


async def test_customer_with_nothing_left_to_score_is_in_no_table(tmp_path: Path) -> None:
    api = await Api(tmp_path).start()
    await api.buy(Purchase("gone", 10_000, 5, "1"), Purchase("gone", 10_000, 5, "2", "refund"))
    base = (await api.get("/customer-base")).json()
    assert (base["rfm"], base["matrix"]) == ([], [])


@pytest.mark.parametrize(
    ("prefix", "limit", "count", "more"),
    [("0000", 50, 9, False), ("0000", 4, 4, True), ("00003", 8, 1, False), ("9", 8, 0, False)],
)
async def test_ids_that_begin_so_are_found_in_their_order(
    api: Api, prefix: str, limit: int, count: int, more: bool
) -> None:
    params = {"prefix": prefix, "limit": str(limit)}
    found = documents.Found.model_validate((await api.get("/customers", params=params)).json())
    assert found.customers == sorted(found.customers)
    assert len(found.customers) == count
    assert all(name.startswith(prefix) for name in found.customers)
    assert found.more is more


async def test_search_is_written_down_and_tells_a_reader_nothing(api: Api) -> None:
    await api.get("/customers", params={"prefix": "0000", "limit": "3"})
    line = api.audited()[-1]
    assert (line["action"], len(line["customers"])) == ("search", 3)
    response = await api.get("/customers", Role.READER, params={"prefix": "0000"})
    assert response.status_code == 403
    assert len(api.audited()) == 1


async def test_search_beyond_what_is_listed_says_which_limit(tmp_path: Path) -> None:
    api = await Api(tmp_path, census_customers_max=59).start()
    await api.buy(*cdnow_of(60))
    response = await api.get("/customers", params={"prefix": "0"})
    assert response.status_code == 503
    assert "EVERSCORE_API_CENSUS_CUSTOMERS_MAX" in response.json()["detail"]


@pytest.mark.parametrize("customer_id", IDS)
async def test_course_is_what_a_lookup_of_each_day_answers(api: Api, customer_id: str) -> None:
    path = f"/customers/{customer_id}/outlook?course_days=1830"
    found = documents.Outlook.model_validate((await api.get(path)).json())
    assert found.course is not None
    assert found.purchase_days is not None
    assert found.course[0].at.date().isoformat() == found.purchase_days[0].day
    days = {one.day for one in found.purchase_days}
    rises = 0
    for before, after in zip(found.course, found.course[1:], strict=False):
        if after.prob_alive > before.prob_alive:
            assert after.at.date().isoformat() in days
            rises += 1
    assert rises > 0 or len(days) == 1
    for one in found.course[:: max(len(found.course) // 12, 1)]:
        past = await api.get(f"/customers/{customer_id}?at={one.at.date().isoformat()}")
        assert one.prob_alive == pytest.approx(past.json()["prob_alive"], rel=1e-12)
    assert found.course[-1].at <= found.as_of


async def test_course_is_cut_where_asked_and_hidden_where_dates_are(api: Api) -> None:
    short = (await api.get("/customers/00003/outlook?course_days=7")).json()
    assert len(short["course"]) == 8
    assert (await api.get("/customers/00003/outlook")).json()["course"][:-1] == []
    hidden = (await api.get("/customers/00003/outlook?course_days=7", Role.READER)).json()
    assert hidden["course"] is None


async def test_state_is_what_the_checkpoints_say(api: Api) -> None:
    found = overview_documents.ServiceState.model_validate((await api.get("/service")).json())
    for one in found.partitions:
        checkpoint = api.run.engine.owned[one.partition].checkpoint
        assert (one.applied, one.dead) == (checkpoint.applied, checkpoint.dead)
    assert found.lag_records is None
    assert found.scorecard is not None
    assert found.scorecard.version == "bootstrap-0"
    topic = api.run.settings.transactions_topic
    api.ends = {
        (topic, partition): owned.checkpoint.next_offsets[topic] + 2
        for partition, owned in api.run.engine.owned.items()
    }
    await api.service.watch.look()
    assert (await api.get("/service")).json()["lag_records"] == 8


async def test_events_a_second_are_those_counted_between_two_looks(api: Api) -> None:
    assert (await api.get("/service")).json()["events_per_second"] is None
    from datetime import timedelta

    api.now += timedelta(seconds=4)
    await api.buy(*(Purchase(f"n-{number}", 10_500, 100, f"n-{number}") for number in range(10)))
    assert (await api.get("/service")).json()["events_per_second"] == pytest.approx(2.5)


async def test_state_before_any_worker_is_unavailable_and_before_any_look_not_known(
    tmp_path: Path,
) -> None:
    api = await Api(tmp_path).start()
    found = overview_documents.ServiceState.model_validate((await api.get("/service")).json())
    assert {one.applied for one in found.partitions} == {None}
    assert found.dead_letters.counted is None


async def test_dead_letters_are_told_by_reason_and_quoted_only_to_who_sees_ids(api: Api) -> None:
    for offset in range(60):
        letter = DeadLetter(
            error_class="MalformedError" if offset % 3 else "CurrencyError",
            message=f"customer 'C-{offset}' sent nonsense",
            topic="transactions",
            partition=1,
            offset=offset,
        )
        api.service.dead_letters.add(
            SimpleNamespace(headers=letter.headers(), partition=0, offset=offset, timestamp=0)
        )
    api.service.dead_letters.add(SimpleNamespace(headers=[], partition=0, offset=60, timestamp=0))
    found = overview_documents.ServiceState.model_validate((await api.get("/service")).json())
    reasons = {one.error: one.letters for one in found.dead_letters.reasons}
    assert reasons == {"MalformedError": 40, "CurrencyError": 20, "not a dead letter of ours": 1}
    assert len(found.dead_letters.latest) == 50
    newest = found.dead_letters.latest[0]
    assert (newest.at, newest.source) == ("0:59", "transactions 1:59")
    assert newest.message == "customer 'C-59' sent nonsense"
    for role in (Role.READER, Role.OPERATOR):
        assert "C-59" not in (await api.get("/service", role)).text


async def test_feed_begins_so_many_changes_back(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = api.memory
    for last in (0, 1, 7, len(memory), 10 * len(memory)):
        position = memory.position_before(last)
        told = [
            one
            for number in range(memory.number_at(position), memory.next)
            if (one := memory.get(number)) is not None and one.offset >= position[one.partition]
        ]
        assert len(told) == min(last, len(memory))
    assert (await api.get("/changes?last=1001")).status_code == 422


async def test_live_says_whether_a_key_is_asked_for(api: Api, tmp_path: Path) -> None:
    assert (await api.get("/health/live", None)).json()["authentication"] is True
    (tmp_path / "open").mkdir()
    unlocked = await Api(tmp_path / "open", authentication=False).start()
    assert (await unlocked.get("/health/live", None)).json()["authentication"] is False
