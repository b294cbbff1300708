"""The learner's sample: the customers with the lowest ranks, whatever order they are reported in."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.homes import home_partition, sample_rank
from streams.sample_keeper import SampleKeeper
from streams.samples import Sample, decode_sample, encode_sample


def report(number: int, frequency: int = 0, clock_us: int = 0, rank: float | None = None) -> bytes:
    customer_id = f"c{number}"
    found = sample_rank(customer_id) if rank is None else rank
    return encode_sample(Sample(customer_id, found, frequency, 10, 20, 1.5, clock_us))


def kept(keeper: SampleKeeper) -> set[str]:
    return set(keeper.snapshot().customer_ids)


def lowest(numbers, count: int) -> set[str]:
    return set(sorted((f"c{number}" for number in numbers), key=sample_rank)[:count])


def columns_of(keeper: SampleKeeper):
    columns = keeper.columns()
    return [
        getattr(columns, name).tolist()
        for name in ("frequency", "first_day", "last_day", "monetary_value")
    ]


def test_all_are_kept_until_the_sample_is_full():
    keeper = SampleKeeper(10)
    for number in range(10):
        keeper.report(None, report(number))
    assert len(keeper) == 10


@given(st.lists(st.integers(0, 60), max_size=120), st.integers(1, 20))
def test_those_with_the_lowest_ranks_are_kept(numbers, size):
    keeper = SampleKeeper(size)
    for number in numbers:
        keeper.report(None, report(number))
    assert kept(keeper) == lowest(set(numbers), size)


@given(st.sets(st.integers(0, 200), max_size=60), st.integers(1, 20), st.randoms())
def test_order_of_reports_does_not_matter(numbers, size, shuffled):
    keepers = [SampleKeeper(size), SampleKeeper(size)]
    order = sorted(numbers)
    for keeper in keepers:
        for number in order:
            keeper.report(None, report(number, frequency=number, clock_us=number))
        shuffled.shuffle(order)
    assert columns_of(keepers[0]) == columns_of(keepers[1])
    assert keepers[0].clock_us == keepers[1].clock_us


def test_kept_customers_are_a_fair_draw_of_all():
    keeper = SampleKeeper(2_000)
    for number in range(20_000):
        keeper.report(None, report(number, frequency=number))
    numbers = keeper.columns().frequency
    assert len(numbers) == 2_000
    by_fifth = np.bincount(numbers // 4_000)
    # 400 ± 5 standard deviations of 18; the same ids every time.
    assert np.abs(by_fifth - 400).max() < 90


def test_customer_reported_again_is_as_last_reported_and_still_counted_once():
    keeper = SampleKeeper(3)
    for frequency in (1, 2, 7):
        keeper.report(None, report(5, frequency))
    assert len(keeper) == 1
    assert keeper.columns().frequency.tolist() == [7]


OVERFLOWING = [
    b'["c",0.5,%d,1,2,1.5,3]' % 2**63,
    b'["c",0.5,0,1,%d,1.5,3]' % (-(2**63) - 1),
    b'["c",0.5,0,1,2,1.5,1%030d]' % 0,
]


@pytest.mark.parametrize("raw", [b"{}", b"", b"[]", b'["c", 0.5]', b"\xff", b"null", *OVERFLOWING])
def test_record_that_is_no_sample_is_left_aside(raw):
    keeper = SampleKeeper(3)
    keeper.report(None, report(1))
    keeper.report(None, raw)
    assert len(keeper) == 1


def test_customer_pushed_out_stays_out_and_may_be_reported_again():
    keeper = SampleKeeper(1)
    keeper.report(None, report(1, rank=0.5))
    keeper.report(None, report(2, rank=0.25))
    keeper.report(None, report(1, rank=0.5))
    keeper.report(None, report(3, rank=0.25))  # a tie: the first stays
    assert kept(keeper) == {"c2"}


def test_clock_is_the_latest_reported_even_by_those_not_kept():
    keeper = SampleKeeper(1)
    keeper.report(None, report(1, rank=0.1, clock_us=50))
    keeper.report(None, report(2, rank=0.9, clock_us=70))
    keeper.report(None, report(1, rank=0.1, clock_us=60))
    assert kept(keeper) == {"c1"}
    assert keeper.clock_us == 70


def test_erased_customer_is_forgotten_and_makes_room():
    keeper = SampleKeeper(2)
    keeper.report(None, report(1, rank=0.1))
    keeper.report(None, report(2, rank=0.2))
    keeper.report(b"c1", None)
    keeper.report(b"nobody", None)
    assert kept(keeper) == {"c2"}
    assert "c1" not in keeper._ids
    keeper.report(None, report(3, rank=0.3))
    keeper.report(None, report(4, rank=0.4))
    assert kept(keeper) == {"c2", "c3"}


def test_cleared_keeper_forgets_everyone_and_serves_again():
    keeper = SampleKeeper(2)
    for number in range(5):
        keeper.report(None, report(number))
    keeper.clear()
    assert len(keeper) == 0
    for number in range(5, 9):
        keeper.report(None, report(number))
    assert kept(keeper) == lowest(range(5, 9), 2)


def test_columns_are_by_rank_and_whole_numbers_stay_whole():
    keeper = SampleKeeper(5)
    for number, rank in ((1, 0.3), (2, 0.1), (3, 0.2)):
        keeper.report(None, report(number, frequency=number, rank=rank))
    columns = keeper.columns()
    assert columns.frequency.tolist() == [2, 3, 1]
    assert columns.frequency.dtype == columns.first_day.dtype == np.int64
    assert columns.monetary_value.dtype == np.float64
    assert len(columns) == 3


def test_customers_of_a_partition_that_lags_behind_are_no_more_silent_for_it():
    """While a worker counts again from the beginning, one partition is months behind another."""
    day_us = 86_400_000_000
    names = {home_partition(f"c{n}", 2): f"c{n}" for n in range(20)}
    keeper = SampleKeeper(5)
    keeper.partitions = 2
    for partition, (clock_day, rank) in {0: (400, 0.1), 1: (100, 0.2)}.items():
        first, last = clock_day - 90, clock_day - 30
        sample = Sample(names[partition], rank, 1, first, last, 1.5, clock_day * day_us + 5)
        keeper.report(None, encode_sample(sample))
    columns = keeper.columns()
    now_day = keeper.clock_us // day_us
    assert now_day == 400
    assert (now_day - columns.first_day).tolist() == [90, 90]
    assert (now_day - columns.last_day).tolist() == [30, 30]


def test_clock_of_a_partition_goes_on_with_those_who_are_not_kept():
    keeper = SampleKeeper(1)
    keeper.report(None, report(1, rank=0.1, clock_us=0))
    keeper.report(None, report(2, rank=0.9, clock_us=7 * 86_400_000_000))
    assert keeper.columns().last_day.tolist() == [20]  # they have been silent for seven days more


def test_sample_is_read_back_as_written():
    sample = Sample("Zoë", 0.1 + 0.2, 2**40, -5, 3, -1.25, -(2**62))
    assert decode_sample(encode_sample(sample)) == sample
    with pytest.raises(msgspec.MsgspecError):
        decode_sample(b'{"customer_id": 1}')


def test_random_reports_leave_no_more_in_memory_than_the_limit():
    keeper = SampleKeeper(50)
    generator = random.Random(7)
    for _ in range(5_000):
        keeper.report(None, report(generator.randrange(1_000)))
        assert len(keeper) <= 50
        assert len(keeper._free) + len(keeper) == 50
