"""Reading whole partitions for a fit."""

from __future__ import annotations

import numpy as np

from state.histories import read_histories
from state.memory_store import MemoryStore
from streams.settings import Settings
from tests.support.purchases import Purchase, Run, cdnow_of

DAY = 10_000


class Repeating(MemoryStore):
    """Tells of every customer on two pages, as a scan may, and loses one between the two questions."""

    lost = ""

    async def customers(self, partition, cursor, count):
        ids = sorted(self.due_at.get(partition, {}))
        page = ids[max(cursor - 1, 0) : cursor + count]
        return (0 if cursor + count >= len(ids) else cursor + count), page

    async def load_many(self, partition, customer_ids):
        found = await super().load_many(partition, customer_ids)
        return [
            None if one == self.lost else fields
            for one, fields in zip(customer_ids, found, strict=True)
        ]


async def all_of(store, page=7):
    return [found async for found in read_histories(store, 0, page)]


async def counted(purchases):
    run = await Run(1, Settings(_env_file=None), Repeating()).start()
    await run.feed(purchases, 500)
    return run


async def test_every_customer_is_read_once_with_what_the_hash_says():
    run = await counted(cdnow_of(60))
    pages = await all_of(run.store)
    assert len(pages) > 3
    ids = [one for page in pages for one in page.customer_ids]
    assert sorted(ids) == sorted(run.hashes())
    for page in pages:
        columns = page.customers
        for row, customer_id in enumerate(page.customer_ids):
            fields = run.hashes()[customer_id]
            assert columns.frequency[row] == int(fields["frequency"])
            assert columns.last_day[row] - columns.first_day[row] == int(fields["t_x_days"])
            assert columns.monetary_value[row] == float(fields["monetary_value"])
            assert page.segments[row] == fields["segment"].decode()


async def test_who_was_erased_or_cancelled_everything_is_left_out():
    run = await counted(
        [
            Purchase("bought", DAY, 900, "t1"),
            Purchase("cancelled", DAY, 900, "t2"),
            Purchase("cancelled", DAY, 900, "t3", "refund"),
            Purchase("erased", DAY, 900, "t4"),
        ]
    )
    run.store.lost = "erased"
    assert [page.customer_ids for page in await all_of(run.store)] == [["bought"]]


async def test_partition_of_nobody_is_one_empty_page():
    run = await counted([Purchase("a", DAY, 900, "t1", "refund")])
    (page,) = await all_of(run.store)
    assert len(page.customers) == len(page.segments) == 0
    assert page.customers.frequency.dtype == np.int64
