"""Hashes as Redis keeps them: what was written by RESTORE reads as what HSET would have written."""

from __future__ import annotations

import os

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.scorecard import SpendParams
from schemas.transaction import FIRST_US
from scoring import ledger
from scoring.business_calendar import BusinessCalendar
from scoring.states import States
from scoring.timeline import Timeline
from state.codec import encode_rows
from state.fields import FIELDS, SCORE_FIELDS
from state.rows import CustomerRows
from state.store import SliceCommit
from tests.support.access import open_redis
from tests.support.compiled import needs_compiled
from tests.support.services import REQUIRE_REAL
from tests.support.states import TIMELINE, TOPICS, states_of_customers

needs_compiled()

UTC = BusinessCalendar("UTC")


@pytest.fixture
def client(at_redis) -> redis.Redis:
    client = open_redis(at_redis)
    version = str(client.info()["redis_version"])
    if int(version.partition(".")[0]) < 7:
        assert os.environ.get(REQUIRE_REAL) != "1", f"Redis {version} reads no such hashes"
        pytest.skip(f"Redis {version} reads no such hashes")
    return client


VALUED = Timeline.of(
    TIMELINE.card.scorecard.model_copy(update={"spend": SpendParams(p=6.25, q=3.74, v=15.44)})
)


def rows_of(states: States, fields=FIELDS, timeline: Timeline = TIMELINE) -> CustomerRows:
    return CustomerRows(states, timeline, TOPICS, UTC, fields)


def fields_of(states: States, timeline: Timeline = TIMELINE) -> list[dict[bytes, bytes]]:
    return [
        {
            name.encode(): value if isinstance(value, bytes) else value.encode()
            for name, value in zip(FIELDS, row, strict=True)
        }
        for row in encode_rows(states, timeline, TOPICS, UTC)
    ]


@given(states=states_of_customers(), timeline=st.sampled_from([TIMELINE, VALUED]))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_redis_reads_a_whole_hash_as_its_fields(client, prefix, states, timeline):
    key = f"{prefix}customer:c"
    # What silence changes is written whole as well: the rest is there, too.
    whole = rows_of(states, SCORE_FIELDS, timeline).whole_hashes()
    assert whole is not None
    for payload, fields in zip(whole, fields_of(states, timeline), strict=True):
        client.restore(key, 0, payload, replace=True)
        assert client.hgetall(key) == fields
        assert client.object("encoding", key) == b"listpack"
    client.delete(key)


@pytest.mark.parametrize("purchase_days", [1, 20, 200, 2_000, 20_000])
def test_redis_reads_ledgers_of_any_length(client, prefix, purchase_days):
    key = f"{prefix}customer:c"
    states = States.blank(["c"])
    states.numbers["source_topic"] = 0
    packed = ledger.first_purchase(0, 1_000)
    for day in range(1, purchase_days):
        packed = ledger.append_purchase(packed, day - 1, day, 1_000)
    states.days[0] = packed
    (payload,) = rows_of(states).whole_hashes() or []
    client.restore(key, 0, payload, replace=True)
    assert client.hgetall(key) == fields_of(states)[0]
    client.delete(key)


async def test_slice_is_written_by_restore_where_redis_reads_it(client, redis_store, prefix):
    states = States.blank(["c"])
    states.numbers["source_topic"] = 0
    before = await redis_store.acquire(0, "w")
    calls = client.info("commandstats").get("cmdstat_restore", {"calls": 0})["calls"]
    rows = rows_of(states, SCORE_FIELDS)
    await redis_store.commit_slice(SliceCommit(0, before, before, ["c"], rows, [5.0]))
    assert client.info("commandstats")["cmdstat_restore"]["calls"] > calls
    found = {
        name.encode(): value for name, value in (await redis_store.load_many(0, ["c"]))[0].items()
    }
    assert found == fields_of(states)[0]
    assert await redis_store.next_due_us(0) == 5_000_000


def test_moments_before_the_year_one_are_left_to_python():
    states = States.blank(["c"])
    states.numbers["source_topic"] = 0
    assert rows_of(states).whole_hashes() is not None
    states.numbers["as_of_us"] = FIRST_US - 1
    assert rows_of(states).whole_hashes() is None
