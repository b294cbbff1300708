"""Whom a scorecard is fitted to, or compared on: everybody in the live state, or the customers of a file.

Owns the pages of both, and a collection of bounded size: of more customers than fit it keeps those with the
lowest ranks, which is a uniform sample.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ops.loaders.formats import load
from ops.loaders.source import LoadOptions, LoadReport
from ops.lookup import clock_of, partition_count
from schemas.decoding import decode_transactions
from schemas.errors import ConfigurationError
from scoring.business_calendar import BusinessCalendar
from scoring.learning import LearningSample
from scoring.ledger import DayEntry, pack_days, summarise
from scoring.states import UNKNOWN_US
from state.histories import read_histories, sample_of
from state.store import Store
from streams.homes import sample_rank
from streams.settings import Settings

CUSTOMERS_MAX = 2_000_000
"""Kept for a fit, 48 bytes each: with so many the parameters are known to a fifth of a percent."""

_US_PER_DAY = 86_400_000_000
_Number = TypeVar("_Number", np.int64, np.float64)

_FILE_PAGE = 20_000  # customers
_RECORDS = 5_000  # decoded at a time
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".txt": "cdnow",
    ".xlsx": "online-retail",
    ".parquet": "online-retail",
}


@dataclass(frozen=True, slots=True)
class Page:
    """Some customers as of one moment.

    Attributes
    ----------
    customers : LearningSample
    ranks : float64, shape (n,)
        Uniform in [0, 1), by a hash of the id.
    segments : object array of str, shape (n,), or None
        Names of the segments they are in; None for a file, which knows of none.
    now_us : int
        Microseconds since 1970 UTC.
    """

    customers: LearningSample
    ranks: NDArray[np.float64]
    segments: NDArray[np.object_] | None
    now_us: int


class Population:
    """Customers collected from pages, at most so many.

    Parameters
    ----------
    customers_max : int
    """

    def __init__(self, customers_max: int = CUSTOMERS_MAX) -> None:
        self._max = customers_max
        self._pages: list[tuple[LearningSample, NDArray[np.float64], NDArray[np.int64]]] = []
        self._held = 0
        self.seen = 0
        self.now_us = UNKNOWN_US

    def add(self, page: Page) -> None:
        """Take a page."""
        now_us = np.full(len(page.ranks), page.now_us)
        self._pages.append((page.customers, page.ranks, now_us))
        self._held += len(page.ranks)
        self.seen += len(page.ranks)
        self.now_us = max(self.now_us, page.now_us)
        if self._held > 2 * self._max:
            self._cut()

    def _cut(self) -> None:
        pages = [page for page, _, _ in self._pages]
        ranks = _joined([ranks for _, ranks, _ in self._pages])
        lowest = np.argsort(ranks, kind="stable")[: self._max]
        kept = LearningSample(
            frequency=_joined([page.frequency for page in pages])[lowest],
            first_day=_joined([page.first_day for page in pages])[lowest],
            last_day=_joined([page.last_day for page in pages])[lowest],
            monetary_value=_joined([page.monetary_value for page in pages])[lowest],
        )
        now_us = _joined([now_us for _, _, now_us in self._pages])[lowest]
        self._pages, self._held = [(kept, ranks[lowest], now_us)], len(lowest)

    def sample(self) -> LearningSample:
        """All that were added, as of `now_us`, by rank, so that the order of pages does not matter.

        Whoever was read as of an earlier moment is moved forward by whole days: a partition that lags
        behind the others must not make its customers look silent.
        """
        if not self._pages:
            nobody = np.empty(0, np.int64)
            return LearningSample(nobody, nobody, nobody, np.empty(0))
        self._cut()
        kept, _, now_us = self._pages[0]
        lag = (self.now_us - now_us) // _US_PER_DAY
        return replace(kept, first_day=kept.first_day + lag, last_day=kept.last_day + lag)


def _joined(columns: list[NDArray[_Number]]) -> NDArray[_Number]:
    return np.concatenate(columns)


async def customers_known(store: Store) -> tuple[int, int]:
    """How many partitions there are, and how many customers in all.

    Raises
    ------
    ConfigurationError
        No worker has run here yet.
    """
    partitions = await partition_count(store)
    checkpoints = [await store.checkpoint(partition) for partition in range(partitions)]
    return partitions, sum(checkpoint.customers for checkpoint in checkpoints)


async def live_pages(store: Store, settings: Settings, wall_us: int) -> AsyncIterator[Page]:
    """Everybody in Redis, each partition by its own clock."""
    for partition in range(await partition_count(store)):
        now_us = clock_of(await store.checkpoint(partition), settings, wall_us)
        async for found in read_histories(store, partition):
            ranks = np.array([sample_rank(one) for one in found.customer_ids], dtype=np.float64)
            yield Page(found.customers, ranks, found.segments, now_us)


def format_of(path: Path | None, wanted: str | None) -> str:
    """Name of a file's format.

    Raises
    ------
    ConfigurationError
        The name of the file does not tell.
    """
    if wanted is not None:
        return wanted
    suffix = "" if path is None else path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise ConfigurationError(
            f"the format of {path} is not known by its name.",
            hint="Say it: --format cdnow, online-retail, olist, jsonl or csv.",
        )
    return _SUFFIXES[suffix]


def file_pages(
    format_name: str,
    paths: Sequence[Path],
    options: LoadOptions,
    settings: Settings,
    report: LoadReport,
    wall_us: int,
) -> Iterator[Page]:
    """Customers of a file as of its last transaction, counted as a worker would.

    Raises
    ------
    ConfigurationError, SourceFileError
        As `ops.loaders.formats.load`; and if it holds no transaction.
    """
    calendar = BusinessCalendar(settings.timezone)
    days: dict[str, dict[int, list[int]]] = {}
    hashes: set[bytes] = set()
    latest_us = UNKNOWN_US
    records = load(format_name, paths, options, report)
    while some := [record.payload(None) for record in islice(records, _RECORDS)]:
        batch = decode_transactions(some, [wall_us // 1000] * len(some), settings.decoding_limits)
        latest_us = max(latest_us, int(batch.occurred_at_us.max(initial=UNKNOWN_US)))
        for customer_id, one, day, units, is_refund in zip(
            batch.customer_ids,
            batch.hashes,
            calendar.day_of(batch.occurred_at_us).tolist(),
            batch.amount_units.tolist(),
            batch.is_refund.tolist(),
            strict=True,
        ):
            if one in hashes:
                continue
            hashes.add(one)
            entry = days.setdefault(customer_id, {}).setdefault(day, [0, 0, 0])
            if is_refund:
                entry[2] += units
            else:
                entry[0] += 1
                entry[1] += units
    if not days:
        raise ConfigurationError(
            f"{', '.join(map(str, paths)) or format_name} holds no transaction of a known customer.",
            hint="`everscore replay` says what becomes of every row.",
        )
    names = list(days)
    for start in range(0, len(names), _FILE_PAGE):
        page = names[start : start + _FILE_PAGE]
        ledgers = [[DayEntry(day, *days[one][day]) for day in sorted(days[one])] for one in page]
        summaries = [summarise(pack_days(ledger)) for ledger in ledgers]
        scored = [row for row, summary in enumerate(summaries) if summary.frequency >= 0]
        ranks = np.array([sample_rank(page[row]) for row in scored], dtype=np.float64)
        yield Page(sample_of([summaries[row] for row in scored]), ranks, None, latest_us)
