"""The oracle of Everscore's runs: agrees with the engine, and finds what is wrong in any copy."""

import asyncio
import json
from dataclasses import replace

import pytest

from ops.bench.everscore_oracle import (
    compare_counters,
    compare_customers,
    compare_histories,
    expect_histories,
)
from ops.bench.evidence import Told
from ops.bench.job import PARTITIONS
from ops.bench.verdict import Verdict
from scoring.bootstrap import bootstrap_scorecard
from streams.settings import Settings
from tests.support.bench_job import job_of
from tests.support.purchases import LogRecord, Run

TOPIC = "transactions"


async def counted(job):
    """Hashes and changes that the engine leaves behind."""
    run = await Run(PARTITIONS, Settings(_env_file=None, first_fit_customers=10**9)).start()
    for partition, rows in enumerate(job.rows_by_partition):
        records = [LogRecord(n, job.values[row], job.keys[row]) for n, row in enumerate(rows)]
        for start in range(0, len(records), 111):
            await run.process(partition, records[start : start + 111])
            await run.sweep()
    hashes = {
        name: {
            field: value.decode() if isinstance(value, bytes) else str(value)
            for field, value in fields.items()
            if field != "ledger"
        }
        for name, fields in run.hashes().items()
    }
    told = []
    for message in run.published:
        if message.topic == run.settings.changes_topic:
            headers = {name: (value or b"").decode() for name, value in message.headers}
            kind = headers["ce_type"].split(".")[1]
            told.append(Told(message.key.decode(), kind, headers["ce_id"], message.value))
    return hashes, told


@pytest.fixture(scope="module")
def job():
    return job_of(90)


@pytest.fixture(scope="module")
def expected(job):
    return expect_histories(job, bootstrap_scorecard().model_dump(mode="json"))


@pytest.fixture(scope="module")
def sound(job):
    return asyncio.run(counted(job))


@pytest.fixture
def found(sound):
    hashes, told = sound
    return {name: dict(fields) for name, fields in hashes.items()}, list(told)


def judged(expected, hashes, told):
    verdict = Verdict()
    compare_customers(expected, hashes.items(), TOPIC, verdict)
    compare_histories(expected, told, verdict)
    return verdict


def test_engine_is_found_without_fault_silence_included(expected, found):
    verdict = judged(expected, *found)
    assert verdict.said == []
    assert verdict.customers == 180
    causes = {json.loads(record.body)["cause"] for record in found[1]}
    assert causes == {"transaction", "silence"}
    assert verdict.changes == len(found[1]) > 600


@pytest.mark.parametrize("copy", ["0", "1"])
@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("frequency", "77"),
        ("segment", "Champions?"),
        ("lifecycle", "asleep"),
        ("prob_alive", "0.123"),
        ("next_review_at", "2001-01-01T00:00:00Z"),
        ("source", f"{TOPIC}:999999"),
    ],
)
def test_wrong_field_of_any_copy_is_found(expected, found, copy, field, wrong):
    hashes, told = found
    hashes[f"00018-{copy}"][field] = wrong
    verdict = judged(expected, hashes, told)
    assert verdict.differences >= 1
    assert all(what.startswith(f"00018-{copy}: {field}") for what in verdict.said)


@pytest.mark.parametrize("copy", ["0", "1"])
def test_change_of_any_copy_lost_doubled_or_altered_is_found(expected, found, copy):
    hashes, told = found
    name = f"00018-{copy}"
    place = next(n for n, record in enumerate(told) if record.customer_id == name)
    assert judged(expected, hashes, told[:place] + told[place + 1 :]).differences >= 1
    assert judged(expected, hashes, [*told, told[place]]).differences >= 1
    body = json.loads(told[place].body)
    for field, wrong in (
        ("cause", "silence"),
        ("current", "Nobody"),
        ("prob_alive", 0.5),
        ("occurred_at", "2001-01-01T00:00:00Z"),
        ("customer_id", "00001-0"),
        ("source", {"topic": TOPIC, "partition": 0, "offset": 10**6}),
    ):
        altered = replace(told[place], body=json.dumps(body | {field: wrong}).encode())
        changed = [*told[:place], altered, *told[place + 1 :]]
        assert judged(expected, hashes, changed).differences >= 1, field


def test_customer_missing_or_invented_is_found(expected, found):
    hashes, told = found
    lost = hashes.pop("00018-1")
    assert "179 customers are in Redis, not 180" in judged(expected, hashes, told).said[0]
    hashes["99999-0"] = lost
    assert "nobody bought as them" in judged(expected, hashes, told).said[0]


def test_purchase_counted_twice_or_never_is_found_in_the_counters(job):
    right = {"applied": str(len(job)), "customers": "180", "dead": "0"}
    for wrong in ({}, {"applied": "1"}, {"duplicates": "1"}, {"dead": "1"}, {"forwarded": "2"}):
        verdict = Verdict()
        compare_counters(job, [right | wrong, {}], verdict)
        assert verdict.differences == len(wrong)
