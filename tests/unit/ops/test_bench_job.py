"""The job of a benchmark: the same purchases, bytes and places for everybody."""

from collections import Counter

import pytest

from ops.bench.baselines.task import decode_purchase
from ops.bench.job import PARTITIONS, make_job
from ops.bench.servers import refuse_what_does_not_fit
from ops.stack.at_hand import StackKind
from schemas.errors import ConfigurationError
from streams.homes import home_partition
from tests.support.bench_job import job_of, whole_job
from tests.support.transaction_oracle import Counted, verdict

ARRIVED_MS = 1_790_000_000_000


def test_each_purchase_is_there_once_for_each_copy_and_in_time_order():
    job = make_job(3, 3_000)
    assert len(job) == len({purchase.transaction_id for purchase in job.purchases}) == 3_000
    moments = [purchase.occurred_at for purchase in job.purchases]
    assert moments == sorted(moments)
    copies = Counter(name.partition("-")[2] for name in job.customer_ids)
    assert copies == {"0": 1_000, "1": 1_000, "2": 1_000}


def test_values_are_transactions_that_the_contract_counts():
    job = make_job(2, 500)
    for value, purchase, name in zip(job.values, job.purchases, job.customer_ids, strict=True):
        counted = verdict(value, ARRIVED_MS)
        assert isinstance(counted, Counted)
        assert counted.customer_id == name
        assert counted.units == purchase.amount * 10_000
        read = decode_purchase(value)
        assert (read.customer_id, read.occurred_at) == (name, purchase.occurred_at)
        assert read.amount == float(purchase.amount)


def test_every_purchase_stands_where_kafkas_producers_put_it():
    job = job_of(50)
    stood = [0] * PARTITIONS
    for name, key, partition, offset in zip(
        job.customer_ids, job.keys, job.partitions, job.offsets, strict=True
    ):
        assert key == name.encode()
        assert partition == home_partition(name, PARTITIONS)
        assert offset == stood[partition]
        stood[partition] += 1
    assert [len(rows) for rows in job.rows_by_partition] == stood


def test_first_of_a_job_is_its_beginning_and_never_more_than_it_has():
    job = make_job(1, 100)
    assert job.first(10).values == job.values[:10]
    assert len(job.first(1_000)) == 100


def test_part_that_spans_the_history_has_as_few_copies_as_it_takes():
    job = make_job(4, 400)
    part = job.spanning(150)
    assert (part.copies, len(part)) == (2, 150)
    assert {name[-1] for name in part.customer_ids} == {"0", "1"}
    assert part.purchases[-1].occurred_at >= job.first(150).purchases[-1].occurred_at
    for name, value, partition in zip(part.customer_ids, part.values, part.partitions, strict=True):
        assert f'"{name}"'.encode() in value
        assert partition == home_partition(name, PARTITIONS)
    assert job.spanning(400).values == job.values


@pytest.mark.parametrize(("copies", "events"), [(0, None), (1_001, None), (1, 0), (1, -5)])
def test_a_job_of_nothing_is_refused_by_its_number(copies, events):
    with pytest.raises(ConfigurationError, match=f"{copies if events is None else events} "):
        make_job(copies, events)


def test_a_job_larger_than_the_in_memory_broker_keeps_is_refused_there_only():
    job = whole_job()
    with pytest.raises(ConfigurationError, match="--copies"):
        refuse_what_does_not_fit(StackKind.EMBEDDED, job)
    refuse_what_does_not_fit(StackKind.LOCAL, job)
    refuse_what_does_not_fit(StackKind.EMBEDDED, job.first(len(job) // 2))
