"""All customers, counted every while: segments with their sizes and value, and who is in them.

Redis keeps customers by id, not by segment, and to keep it read-only no index is written there. So the
API counts by itself: between two counts its lists are as old as `counted_at` says.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import TypeVar

from ops.api.cross_tables import CrossTables
from ops.api.keys import utc_now
from ops.api.metrics import Metrics
from ops.lookup import Lookup, clock_of
from schemas.errors import PipelineError
from state.codec import decode_rows
from state.store import Fields

# Of one round trip. Requests wait while a page is read: larger pages show in their p99.
_PAGE_CUSTOMERS = 200
_DECODED_AT_ONCE = 50  # at 20 µs each: a page at once was 5 ms for which others waited
_PAUSE_SECONDS_MIN = 0.002  # between two pages, so that those who ask come first
_PAGE_SECONDS = 0.01  # that it takes to read and count a page
_FIRST_SECONDS_MAX = 30.0

_log = logging.getLogger("everscore.api")

Ordered = TypeVar("Ordered", "Row", str)
Row = tuple[bytes, str, float | None, float]
"""Pseudonym, customer id, P(alive), revenue."""


@dataclass(slots=True)
class Group:
    """One segment.

    Attributes
    ----------
    rows : list
        By pseudonym.
    runs : list of list
        The same while they are collected, each by pseudonym.
    """

    name: str
    customers: int = 0
    revenue: float = 0.0
    alive: float = 0.0
    rows: list[Row] = field(default_factory=list)
    runs: list[list[Row]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Count:
    """One count.

    Attributes
    ----------
    groups : dict of str to Group
        In the order of the scorecard now in use; what only older ones name comes after.
    listed : bool
        Whether the groups have rows.
    ids : dict of bytes to str
        Customer ids by pseudonym, where listed.
    names : list of str
        Customer ids, ascending, where listed.
    tables : CrossTables
    """

    counted_at: datetime
    customers: int
    unscored: int
    scorecard: str
    groups: dict[str, Group]
    listed: bool
    ids: dict[bytes, str]
    names: list[str]
    tables: CrossTables


class Census:
    """Counts, again and again.

    Parameters
    ----------
    lookup : Lookup
    pseudonym : callable
        Customer id to 32 bytes: the order of the lists, so that a cursor tells no id.
    seconds : float
        That a count takes, but for the first one: spread evenly, it is in nobody's way.
    customers_max : int
        Beyond it customers are counted, not listed.
    metrics : Metrics
    now : callable
    """

    def __init__(
        self,
        lookup: Lookup,
        pseudonym: Callable[[str], bytes],
        seconds: float,
        customers_max: int,
        metrics: Metrics,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._lookup = lookup
        self._pseudonym = pseudonym
        self._seconds = seconds
        self.customers_max = customers_max
        self._metrics = metrics
        self._now = now
        self._latest: Count | None = None
        self._counted = asyncio.Event()

    async def latest(self) -> Count | None:
        """The last count; waits for the first one, though not for ever."""
        if self._latest is None:
            try:
                async with asyncio.timeout(_FIRST_SECONDS_MAX):
                    await self._counted.wait()
            except TimeoutError:
                return None
        return self._latest

    def id_of(self, pseudonym: str) -> str | None:
        """Whose pseudonym it is, if they were met by the last count."""
        if self._latest is None:
            return None
        try:
            return self._latest.ids.get(bytes.fromhex(pseudonym))
        except ValueError:
            return None

    async def run(self) -> None:
        """Count until cancelled; what keeps it from counting is logged once."""
        said = ""
        while True:
            began = time.monotonic()
            try:
                await self.count()
                said = ""
            except PipelineError as error:
                if str(error) != said:
                    said = str(error)
                    _log.warning("customers cannot be counted: %s", said)
            await asyncio.sleep(max(began + self._seconds - time.monotonic(), _PAUSE_SECONDS_MIN))

    def _pause_seconds(self, until: float, customers_left: int) -> float:
        """Between two pages: so many as are left take what is left of the time."""
        if self._latest is None:
            return _PAUSE_SECONDS_MIN
        pages = max(customers_left / _PAGE_CUSTOMERS, 1.0)
        return max((until - time.monotonic()) / pages - _PAGE_SECONDS, _PAUSE_SECONDS_MIN)

    async def count(self) -> Count:
        """Count once."""
        began = time.monotonic()
        lookup = self._lookup
        partitions = await lookup.partitions()
        histories = [await lookup.timeline(partition) for partition in range(partitions)]
        known = sum(one.customers for one, _ in histories)
        checkpoint, timeline = histories[0]
        segments = timeline.card.segmenter.names if checkpoint.adoptions else ()
        groups = {name: Group(name) for name in segments}
        customers, unscored, listed = 0, 0, True
        tables, ids, names = CrossTables(), dict[bytes, str](), list[list[str]]()
        for partition in range(partitions):
            cursor, seen = 0, set[str]()  # a scan may meet a customer twice
            while True:
                cursor, page = await lookup.store.customers(partition, cursor, _PAGE_CUSTOMERS)
                fresh = [name for name in dict.fromkeys(page) if name not in seen]
                seen.update(fresh)
                stored = await lookup.store.load_many(partition, fresh)
                await self._tabulate(tables, partition, fresh, stored)
                rows: dict[str, list[Row]] = {}
                for customer_id, fields in zip(fresh, stored, strict=True):
                    if fields is None:  # erased meanwhile
                        continue
                    customers += 1
                    segment = fields["segment"].decode()
                    if not segment:
                        unscored += 1
                        continue
                    group = groups.setdefault(segment, Group(segment))
                    alive = float(fields["prob_alive"])
                    revenue = float(fields["monetary_total"]) - float(fields["refund_total"])
                    group.customers += 1
                    group.revenue += revenue
                    group.alive += alive
                    if listed:
                        key = self._pseudonym(customer_id)
                        ids[key] = customer_id
                        rows.setdefault(segment, []).append((key, customer_id, alive, revenue))
                for segment, some in rows.items():
                    groups[segment].runs.append(sorted(some))
                names.append(sorted(row[1] for some in rows.values() for row in some))
                if customers > self.customers_max and listed:
                    listed = False
                    ids, names = {}, []
                    for group in groups.values():
                        group.runs.clear()
                if cursor == 0:
                    break
                await asyncio.sleep(self._pause_seconds(began + self._seconds, known - customers))
        for group in groups.values():
            group.rows, group.runs = await _merged(group.runs), []
        self._latest = Count(
            counted_at=self._now(),
            customers=customers,
            unscored=unscored,
            scorecard=timeline.card.version if checkpoint.adoptions else "",
            groups=groups,
            listed=listed,
            ids=ids,
            names=await _merged(names),
            tables=tables,
        )
        self._counted.set()
        for name, group in groups.items():
            self._metrics.customers.labels(name).set(group.customers)
        self._metrics.census_seconds.set(time.monotonic() - began)
        return self._latest

    async def _tabulate(
        self,
        tables: CrossTables,
        partition: int,
        customer_ids: list[str],
        stored: list[Fields | None],
    ) -> None:
        """Bring customers up to now, and count them into the tables."""
        if not any(stored):
            return
        settings = self._lookup.settings
        checkpoint, timeline = await self._lookup.timeline(partition)
        if not checkpoint.adoptions:  # it is being rebuilt from nothing: met in the next count
            return
        now_us = clock_of(checkpoint, settings, round(self._now().timestamp() * 1e6))
        for start in range(0, len(customer_ids), _DECODED_AT_ONCE):
            some = slice(start, start + _DECODED_AT_ONCE)
            rows = decode_rows(customer_ids[some], stored[some], timeline, settings.input_topics)
            tables.add(rows.numbers, timeline.card, self._lookup.calendar, now_us)
            await asyncio.sleep(0)


async def _merged(runs: list[list[Ordered]]) -> list[Ordered]:
    """Sorted lists as one, two at a time: who asks meanwhile waits for two, not for all of them."""
    while len(runs) > 1:
        pairs = []
        for start in range(0, len(runs), 2):
            pairs.append(sorted(chain(*runs[start : start + 2])))  # which finds the two, and merges
            await asyncio.sleep(0)
        runs = pairs
    return runs[0] if runs else []


def names_from(names: list[str], prefix: str, limit: int) -> tuple[list[str], bool]:
    """Ids that begin so, at most so many; and whether there are more.

    >>> names_from(["1", "12", "13", "2"], "1", 2)
    (['1', '12'], True)
    """
    start = bisect_left(names, prefix)
    found = [name for name in names[start : start + limit + 1] if name.startswith(prefix)]
    return found[:limit], len(found) > limit


def page_of(group: Group, after: bytes, limit: int) -> tuple[list[Row], bytes | None]:
    """Rows beyond a pseudonym, and the one to go on with; None at the end.

    Complete and without repeats for whoever stays in the segment, however often it is counted anew
    between two pages.
    """
    start = bisect_right(group.rows, after, key=lambda row: row[0])
    rows = group.rows[start : start + limit]
    more = start + limit < len(group.rows)
    return rows, rows[-1][0] if more else None
