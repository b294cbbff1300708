"""Are the states in Redis what lifetimes computes from the same purchases? Every customer compared."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from ops.loaders.source import SourceTransaction
from ops.lookup import Lookup
from scoring.business_calendar import BusinessCalendar
from scoring.review import monetary_value, t_x_days
from scoring.states import States
from state.codec import decode_rows
from state.store import Store
from streams.settings import Settings

TOLERANCE = 1e-9
_PAGE = 2_000


@dataclass(frozen=True, slots=True)
class Parity:
    """How many of how many customers are equal, and the first few that are not."""

    equal: int
    customers: int
    differing: tuple[str, ...] = ()


async def all_states(
    store: Store, settings: Settings, partitions: int
) -> AsyncIterator[tuple[int, States]]:
    """Every customer in Redis, page by page, with the partition."""
    lookup = Lookup(store, settings)
    for partition in range(partitions):
        cursor, seen = 0, set[str]()
        while True:
            cursor, ids = await store.customers(partition, cursor, _PAGE)
            fresh = [customer_id for customer_id in dict.fromkeys(ids) if customer_id not in seen]
            seen.update(fresh)
            stored = await store.load_many(partition, fresh)
            _, timeline = await lookup.timeline(partition)
            yield partition, decode_rows(fresh, stored, timeline, settings.input_topics)
            if cursor == 0:
                break


async def compare_with_lifetimes(
    store: Store,
    settings: Settings,
    partitions: int,
    transactions: Sequence[SourceTransaction],
    observed_until: datetime,
) -> Parity:
    """Compare frequency, recency, T and monetary value of every customer in Redis with lifetimes'.

    Parameters
    ----------
    transactions : purchases only
        lifetimes counts a lone refund day as a purchase; Everscore does not, on purpose.
    observed_until : datetime
        End of the observation period.
    """
    expected = _lifetimes_summary(transactions, observed_until)
    calendar = BusinessCalendar(settings.timezone)
    end_us = np.array([int(observed_until.timestamp() * 1e6)])
    end_day = np.floor(calendar.days_at(end_us))[0]
    equal, differing, met = 0, [], 0
    async for _, states in all_states(store, settings, partitions):
        found = np.column_stack(
            (
                states.numbers["frequency"],
                t_x_days(states.numbers),
                end_day - states.numbers["first_day"],
                monetary_value(states.numbers),
            )
        )
        wanted = expected.reindex(states.customer_ids).to_numpy(dtype=np.float64)
        same = (np.abs(found - wanted) <= TOLERANCE).all(
            axis=1
        )  # unknown to lifetimes: NaN, unequal
        equal += int(same.sum())
        met += len(states)
        differing += [states.customer_ids[row] for row in np.flatnonzero(~same)[:5].tolist()]
    return Parity(equal, max(met, len(expected)), tuple(differing[:5]))


def _lifetimes_summary(transactions: Sequence[SourceTransaction], observed_until: datetime) -> Any:
    import pandas as pd  # noqa: PLC0415 - slow to import

    frame = pd.DataFrame(
        {
            "customer": [transaction.customer_id for transaction in transactions],
            "at": pd.to_datetime(
                [transaction.occurred_at.replace(tzinfo=None) for transaction in transactions]
            ),
            "amount": [float(transaction.amount) for transaction in transactions],
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifetimes uses what pandas has deprecated
        from lifetimes.utils import (  # noqa: PLC0415 - slow to import
            summary_data_from_transaction_data,
        )

        summary = summary_data_from_transaction_data(
            frame,
            "customer",
            "at",
            monetary_value_col="amount",
            observation_period_end=observed_until.replace(tzinfo=None),
            freq="D",
        )
    return summary[["frequency", "recency", "T", "monetary_value"]]
