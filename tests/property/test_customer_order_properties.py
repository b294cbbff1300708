"""Each customer's own order is kept, customers are mixed at random: allowed for, it does not show."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.settings import Settings
from tests.support.purchases import Run, cdnow_of

PURCHASES = cdnow_of(60)
DAY_US = 86_400_000_000
LATENESS_DAYS = 600  # more than CDNOW's eighteen months: any mixture of customers
END_US = (10_407 + LATENESS_DAYS) * DAY_US


def mixed(random):
    """All purchases, each customer's in time order, customers at random."""
    queues = defaultdict(list)
    for purchase in PURCHASES:
        queues[purchase.customer_id].append(purchase)
    turns = [purchase.customer_id for purchase in PURCHASES]
    random.shuffle(turns)
    return [queues[customer].pop(0) for customer in turns]


async def history(log, partitions, slice_size, sweep_every):
    allowed = Settings(lateness_seconds=LATENESS_DAYS * 86_400.0)
    run = await Run(partitions, allowed).start()
    await run.feed(log, slice_size, sweep_every=sweep_every)
    await run.sweep(END_US)
    return run.by_customer()


@given(
    st.randoms(use_true_random=False),
    st.sampled_from([1, 4, 16]),
    st.sampled_from([1, 7, 500]),
    st.sampled_from([0, 1, 3]),
)
@settings(max_examples=25)
async def test_customers_in_their_own_order_change_alike_however_mixed(
    random, partitions, slice_size, sweep_every
):
    expected = await history(PURCHASES, 1, 500, 0)
    found = await history(mixed(random), partitions, slice_size, sweep_every)
    assert sum(map(len, expected.values())) > len(PURCHASES)
    assert found == expected
