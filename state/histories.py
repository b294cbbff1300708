"""Customers as fits and comparisons need them: what they bought, and which segment they are in.

Reads a partition page by page; nothing of a page is kept but a hash of each id, since a scan may tell of a
customer twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.learning import LearningSample
from scoring.ledger import LedgerSummary, summarise, unpack_ledger
from scoring.review import monetary_value
from scoring.states import NUMBERS
from state.store import Fields, Store

PAGE_CUSTOMERS = 2_000  # of one round trip: about 1 MB


@dataclass(frozen=True, slots=True)
class Histories:
    """Some customers with at least one purchase day.

    Attributes
    ----------
    customer_ids : list of str
    customers : LearningSample
    segments : object array of str, shape (n,)
        Names, as the worker last wrote them; empty for none.
    """

    customer_ids: list[str]
    customers: LearningSample
    segments: NDArray[np.object_]


async def read_histories(
    store: Store, partition: int, page: int = PAGE_CUSTOMERS
) -> AsyncIterator[Histories]:
    """Every customer of a partition, page by page.

    Raises
    ------
    LedgerError
        A customer's ledger is damaged.
    """
    cursor, seen = 0, set[int]()
    while True:
        cursor, found = await store.customers(partition, cursor, page)
        fresh = [one for one in dict.fromkeys(found) if hash(one) not in seen]
        seen.update(map(hash, fresh))
        stored = await store.load_many(partition, fresh)
        yield _histories(fresh, stored)
        if cursor == 0:
            return


def _histories(ids: list[str], stored: list[Fields | None]) -> Histories:
    kept: list[str] = []
    summaries: list[LedgerSummary] = []
    segments: list[str] = []
    for customer_id, fields in zip(ids, stored, strict=True):
        if fields is None:  # erased since the scan
            continue
        days, _ = unpack_ledger(fields["ledger"])
        summary = summarise(days)
        if summary.frequency >= 0:
            kept.append(customer_id)
            summaries.append(summary)
            segments.append(fields["segment"].decode())
    return Histories(kept, sample_of(summaries), np.array(segments, dtype=object))


def sample_of(summaries: list[LedgerSummary]) -> LearningSample:
    """Columns of customers, each with at least one purchase day."""
    numbers = np.zeros(len(summaries), dtype=NUMBERS)
    for name in ("frequency", "first_day", "last_day", "repeat_units"):
        numbers[name] = [getattr(summary, name) for summary in summaries]
    return LearningSample(
        frequency=numbers["frequency"].copy(),
        first_day=numbers["first_day"].copy(),
        last_day=numbers["last_day"].copy(),
        monetary_value=monetary_value(numbers),
    )
