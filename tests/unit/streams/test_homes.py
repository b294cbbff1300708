"""Home partitions are those of Kafka's own producers; ranks are uniform and for ever."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from streams.homes import (
    home_partition,
    home_partitions,
    home_partitions_plainly,
    partition_of,
    sample_rank,
    sample_ranks,
)

# From UtilsTest.testMurmur2 of Kafka's Java client.
JAVA_VECTORS = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize(("customer_id", "hashed"), JAVA_VECTORS.items())
@pytest.mark.parametrize("partitions", [1, 2, 4, 16, 100, 2**31 - 1])
def test_customer_lives_where_the_java_client_puts_the_key(customer_id, hashed, partitions):
    assert home_partition(customer_id, partitions) == (hashed & 0x7FFFFFFF) % partitions


@given(st.text(max_size=30), st.integers(1, 64))
def test_home_is_the_partition_that_aiokafka_chooses(customer_id, partitions):
    everywhere = list(range(partitions))
    chosen = DefaultPartitioner()(customer_id.encode(), everywhere, everywhere)
    assert home_partition(customer_id, partitions) == chosen


@given(st.lists(st.text(max_size=30)), st.integers(1, 64))
def test_many_customers_live_where_each_of_them_does(customer_ids, partitions):
    homes_of_all = home_partitions(customer_ids, partitions).tolist()
    assert homes_of_all == [home_partition(customer_id, partitions) for customer_id in customer_ids]


def test_record_without_a_key_belongs_to_the_first_partition():
    assert partition_of(None, 16) == 0


def test_rank_of_an_id_never_changes():
    assert sample_rank("C-42") == 0.09365518888351679
    assert sample_rank("C-42") != sample_rank("C-43")


def test_ranks_are_uniform():
    ranks = sorted(sample_rank(str(number)) for number in range(20_000))
    assert 0 <= ranks[0] < ranks[-1] < 1
    # Kolmogorov–Smirnov: beyond 1.95/√n in one of a thousand samples; these ids are always the same.
    worst = max(abs(rank - place / len(ranks)) for place, rank in enumerate(ranks))
    assert worst < 1.95 / len(ranks) ** 0.5


def test_rank_says_nothing_about_the_home():
    low = [n for n in range(40_000) if sample_rank(str(n)) < 0.1]
    counts = [0] * 4
    for number in low:
        counts[home_partition(str(number), 4)] += 1
    assert all(abs(count - len(low) / 4) < 0.1 * len(low) for count in counts)


def test_key_that_is_no_customers_is_placed_at_once():
    partitions = {partition_of(bytes([first]) * 8_000_000, 16) for first in range(40)}
    assert len(partitions) > 8
    assert partition_of(b"x" * 513, 4) == partition_of(b"x" * 513, 4)
    longest = "\U0001f600" * 128
    assert partition_of(longest.encode(), 16) == home_partition(longest, 16)


@given(st.binary(max_size=512))
def test_key_of_any_bytes_lives_where_kafkas_producers_place_it(key):
    everywhere = list(range(16))
    assert partition_of(key, 16) == DefaultPartitioner()(key, everywhere, everywhere)


@given(st.lists(st.text(max_size=30)), st.integers(1, 64))
def test_compiled_homes_are_those_of_numpy(customer_ids, partitions):
    found = home_partitions(customer_ids, partitions)
    plain = home_partitions_plainly(customer_ids, partitions)
    assert (found.tolist(), found.dtype) == (plain.tolist(), plain.dtype)


def test_ids_longer_than_any_customers_have_homes_too():
    names = ["x" * 600, "C-42"]
    assert home_partitions(names, 4).tolist() == [home_partition(name, 4) for name in names]


@given(st.lists(st.text(max_size=130)))
def test_compiled_ranks_are_those_of_hashlib(customer_ids):
    assert sample_ranks(customer_ids) == [sample_rank(name) for name in customer_ids]
