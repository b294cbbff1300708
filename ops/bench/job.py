"""The job that every contender does: purchases of CDNOW, each customer many times over.

Owns which purchases, in which order, with which bytes and on which partition. Knows no broker.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ops.loaders.cdnow import load_cdnow
from ops.loaders.source import LoadReport, SourceTransaction
from schemas.errors import ConfigurationError
from streams.homes import home_partitions

PARTITIONS = 4
COPIES = 8
COPIES_MAX = 1_000
"""70 million purchases: more is a typing error."""


@dataclass(frozen=True)
class Job:
    """Purchases in time order; row by row the same in all sequences.

    Attributes
    ----------
    copies : int
        Customers made out of each of CDNOW's.
    customer_ids : list of str
        `<CDNOW's id>-<copy>`.
    purchases : list of SourceTransaction
    values : list of bytes
        Transaction v1 as JSON.
    partitions : int64, shape (n,)
        Where Kafka's own producers put the customer.
    """

    copies: int
    customer_ids: list[str]
    purchases: list[SourceTransaction]
    values: list[bytes]
    partitions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def keys(self) -> list[bytes]:
        """Customer ids in UTF-8."""
        return [customer_id.encode() for customer_id in self.customer_ids]

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each purchase stands in its partition, if nothing else is written there."""
        offsets = np.empty(len(self), dtype=np.int64)
        for partition in range(PARTITIONS):
            rows = np.flatnonzero(self.partitions == partition)
            offsets[rows] = np.arange(len(rows))
        return offsets

    @cached_property
    def rows_by_partition(self) -> list[NDArray[np.int64]]:
        """Rows of each partition, by offset."""
        return [np.flatnonzero(self.partitions == partition) for partition in range(PARTITIONS)]

    @cached_property
    def bytes_of_largest_partition(self) -> int:
        """Keys and values."""
        sizes = np.array([len(v) + len(k) for v, k in zip(self.values, self.keys, strict=True)])
        return int(np.bincount(self.partitions, weights=sizes, minlength=PARTITIONS).max())

    def first(self, count: int) -> Job:
        """The job's beginning: never more than it has."""
        return Job(
            self.copies,
            self.customer_ids[:count],
            self.purchases[:count],
            self.values[:count],
            self.partitions[:count],
        )

    def spanning(self, count: int) -> Job:
        """So many purchases over as much of the history as possible: of as few copies as it takes.

        The beginning of many copies would be new customers only, whom nothing ever happens to.
        """
        each = len(self) / self.copies
        copies = min(self.copies, math.ceil(count / each))
        rows = [
            row
            for row, name in enumerate(self.customer_ids)
            if int(name.rpartition("-")[2]) < copies
        ][:count]
        return Job(
            copies,
            [self.customer_ids[row] for row in rows],
            [self.purchases[row] for row in rows],
            [self.values[row] for row in rows],
            self.partitions[rows],
        )


def make_job(copies: int = COPIES, events_max: int | None = None) -> Job:
    """CDNOW so many times over.

    Parameters
    ----------
    copies : int
        1 to `COPIES_MAX`.
    events_max : int, optional
        Only the first so many purchases.

    Raises
    ------
    ConfigurationError
        No such number of copies, or nothing left to count.

    Examples
    --------
    >>> job = make_job(2, 4)
    >>> job.customer_ids
    ['00001-0', '00001-1', '00004-0', '00004-1']
    """
    if not 1 <= copies <= COPIES_MAX:
        raise ConfigurationError(
            f"{copies} copies of CDNOW.", hint=f"Give a number from 1 to {COPIES_MAX:,}."
        )
    if events_max is not None and events_max < 1:
        raise ConfigurationError(f"{events_max} purchases are no job.", hint="Give at least one.")
    purchases: list[SourceTransaction] = []
    for record in load_cdnow(report=LoadReport()):
        if events_max is not None and len(purchases) >= events_max:
            break
        if isinstance(record, SourceTransaction):
            purchases += [
                replace(
                    record,
                    transaction_id=f"{record.transaction_id}-{copy}",
                    customer_id=f"{record.customer_id}-{copy}",
                )
                for copy in range(copies)
            ]
    purchases = purchases[:events_max]
    return job_of(copies, purchases)


def job_of(copies: int, purchases: list[SourceTransaction]) -> Job:
    """Purchases in time order as a job.

    Parameters
    ----------
    copies : int
        For the report.
    purchases : list of SourceTransaction
        Each of a customer.
    """
    customer_ids = [str(purchase.customer_id) for purchase in purchases]
    return Job(
        copies,
        customer_ids,
        purchases,
        [purchase.payload() for purchase in purchases],
        home_partitions(customer_ids, PARTITIONS),
    )
