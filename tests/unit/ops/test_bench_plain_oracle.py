"""The baselines' arithmetic against the plain oracle, and whether the oracle finds what is wrong."""

import json
import random

import msgspec
import numpy as np
import pytest

from ops.bench.baselines.customers import FIELDS, Customer, Scorer, advance
from ops.bench.baselines.task import PACKED, change_body, decode_purchase
from ops.bench.contenders import card
from ops.bench.evidence import Told
from ops.bench.plain_oracle import compare_changes, compare_hashes, compare_packed, expect
from ops.bench.verdict import Verdict
from tests.support.bench_job import job_of

CARD = card()


@pytest.fixture(scope="module")
def job():
    return job_of(150)


@pytest.fixture(scope="module")
def expected(job):
    return expect(job, msgspec.to_builtins(CARD))


def count(job, batch_size):
    """What a batch loop leaves behind: hashes, changes and packed states."""
    customers, told = {}, []
    for start in range(0, len(job), batch_size):
        purchases = [decode_purchase(value) for value in job.values[start : start + batch_size]]
        _, changes = advance(customers, purchases, Scorer(CARD))
        for change in changes:
            row, purchase = start + change.row, purchases[change.row]
            place = int(job.partitions[row]), int(job.offsets[row])
            body = change_body(
                purchase.customer_id, change.previous, change.current, purchase.occurred_at,
                change.prob_alive, place,
            )  # fmt: skip
            told.append(Told(purchase.customer_id, "segment", "", body))
    hashes = {name: texts(customer) for name, customer in customers.items()}
    packed = {
        name: PACKED.unpack(PACKED.pack(c.first_day, c.last_day, c.frequency, c.later_total))
        for name, c in customers.items()
    }
    return hashes, told, packed


def texts(customer):
    return {str(name): str(value) for name, value in customer.hash_fields().items()}


@pytest.fixture
def found(job):
    return count(job, 97)


def judged(expected, hashes, told):
    verdict = Verdict()
    compare_hashes(expected, hashes.items(), verdict)
    compare_changes(expected, told, verdict)
    return verdict


@pytest.mark.parametrize("batch_size", [1, 7, 1_000])
def test_batch_loop_is_right_whatever_the_batch_size(job, expected, batch_size):
    hashes, told, packed = count(job, batch_size)
    verdict = judged(expected, hashes, told)
    compare_packed(expected, packed.items(), verdict)
    assert verdict.said == []
    assert verdict.customers == 2 * len(expected) == 600  # in both forms
    assert verdict.changes > len(expected)


def test_score_of_one_is_that_of_many():
    generator = random.Random(5)
    scorer = Scorer(CARD)
    rows = [
        (
            generator.randrange(40),
            generator.randrange(500),
            generator.random() * 400,
            generator.random() * 200,
        )
        for _ in range(300)
    ]
    alive, nearest = scorer.score_many(*np.array(rows, dtype=float).T)
    for row, many, index in zip(rows, alive, nearest, strict=True):
        one, segment = scorer.score(*row)
        assert one == pytest.approx(many, rel=1e-12)
        assert segment == scorer.segments[index]


def test_customer_read_back_from_redis_goes_on_as_if_never_gone(job, expected):
    scorer, hashes = Scorer(CARD), {}
    for value in job.values:
        purchase = decode_purchase(value)
        fields = hashes.get(purchase.customer_id, {})
        read = Customer.of([fields[n].encode() if n in fields else None for n in FIELDS])
        known = {} if read is None else {purchase.customer_id: read}
        touched, _ = advance(known, [purchase], scorer)
        hashes[purchase.customer_id] = texts(touched[purchase.customer_id])
    verdict = Verdict()
    compare_hashes(expected, hashes.items(), verdict)
    assert verdict.said == []


@pytest.mark.parametrize("field", ["frequency", "t_x_days", "monetary_value", "prob_alive"])
def test_wrong_number_in_redis_is_found(expected, found, field):
    hashes, told, _ = found
    name = next(iter(hashes))
    hashes[name][field] = str(float(hashes[name][field]) + 1)
    verdict = judged(expected, hashes, told)
    assert verdict.differences == 1
    assert field in verdict.said[0]
    assert name in verdict.said[0]


def test_wrong_segment_in_redis_is_found(expected, found):
    hashes, told, _ = found
    name = next(iter(hashes))
    hashes[name]["segment"] = "At-Risk"
    assert "segment is 'At-Risk'" in judged(expected, hashes, told).said[0]


def test_customer_missing_or_invented_is_found(expected, found):
    hashes, told, _ = found
    lost = hashes.pop(next(iter(hashes)))
    assert judged(expected, hashes, told).differences == 1
    hashes["99999-0"] = lost
    said = judged(expected, hashes, told).said
    assert said == ["99999-0 is in Redis, and nobody bought as them"]


def test_change_lost_doubled_or_altered_is_found(expected, found):
    hashes, told, _ = found
    assert judged(expected, hashes, told[1:]).differences == 1
    assert judged(expected, hashes, [*told, told[3]]).differences == 1
    body = json.loads(told[0].body)
    for name, wrong in (
        ("previous", "Loyal"),
        ("current", "Nobody"),
        ("prob_alive", 0.5),
        ("source", {"partition": 0, "offset": 10**6}),
    ):
        altered = Told(
            told[0].customer_id, "segment", "", json.dumps(body | {name: wrong}).encode()
        )
        assert judged(expected, hashes, [altered, *told[1:]]).differences == 1, name


def test_changes_of_one_customer_out_of_order_are_found(expected, found):
    hashes, told, _ = found
    name = next(name for name, customer in expected.items() if len(customer.changes) > 1)
    first, second = [n for n, record in enumerate(told) if record.customer_id == name][:2]
    told[first], told[second] = told[second], told[first]
    assert judged(expected, hashes, told).differences > 0


def test_wrong_packed_state_is_found(expected, found):
    *_, packed = found
    name = next(name for name, customer in expected.items() if customer.frequency)
    first, last, frequency, money = packed[name]
    for wrong in ((first, last, frequency + 1, money), (first, last, frequency, money + 0.01)):
        verdict = Verdict()
        compare_packed(expected, (packed | {name: wrong}).items(), verdict)
        assert verdict.differences == 1
