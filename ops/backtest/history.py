"""A file of purchases as the worker would have counted it, in columns.

Any format of `ops.loaders`, decoded by the worker's decoder: what it would send to the dead letters is
left out here, too, and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.loaders.formats import load
from ops.loaders.source import LoadOptions, LoadReport, SourceRecord
from schemas.decoding import decode_transactions
from schemas.errors import SourceFileError
from scoring.business_calendar import BusinessCalendar
from scoring.events import Events
from streams.settings import Settings

_US_PER_DAY = 86_400e6
# Records decoded at a time: larger holds more wire objects at once, and is no faster.
_BATCH_RECORDS = 10_000


@dataclass(frozen=True, slots=True)
class History:
    """Purchases and refunds of n customers in time order.

    Attributes
    ----------
    customer_ids : list of str, length n
    events : Events
        `rows` are indices into `customer_ids`.
    days : int64, shape (events,)
        Purchase day of each, days since 1970-01-01 in the business time zone.
    report : LoadReport
        What became of each row of the file.
    refused : int
        Records that the worker would dead-letter.
    """

    customer_ids: list[str]
    events: Events
    days: NDArray[np.int64]
    report: LoadReport = field(repr=False)
    refused: int = 0

    def between(self, after_day: int, through_day: int) -> Events:
        """The events of some days, the last of them included."""
        return _take(self.events, (self.days > after_day) & (self.days <= through_day))


def read_history(
    format_name: str, files: Sequence[Path], options: LoadOptions, settings: Settings
) -> History:
    """Read a file as `everscore replay` would publish it and the worker decode it.

    Raises
    ------
    SourceFileError
        It cannot be read as the format named, or holds nothing that counts.
    ConfigurationError
        An option is wrong.
    """
    report = LoadReport()
    records = list(load(format_name, files, options, report))
    columns: list[tuple[NDArray[Any], ...]] = []
    names: list[str] = []
    hashes: list[bytes] = []
    refused = 0
    for at in range(0, len(records), _BATCH_RECORDS):
        part = records[at : at + _BATCH_RECORDS]
        batch = decode_transactions(
            [record.payload() for record in part], _stamps_ms(part), settings.decoding_limits
        )
        names += batch.customer_ids
        hashes += batch.hashes
        refused += len(batch.rejects)
        columns.append((batch.occurred_at_us, batch.amount_units, batch.is_refund))
    if not names:
        raise SourceFileError(
            f"none of {len(records):,} records is a transaction that counts.",
            hint=f"Is EVERSCORE_CURRENCY ({settings.currency}) theirs?",
        )
    occurred, units, refund = (np.concatenate(column) for column in zip(*columns, strict=True))
    index: dict[str, int] = {}
    rows = np.array([index.setdefault(name, len(index)) for name in names], dtype=np.intp)
    horizon_us = int(settings.dedup_horizon_days * _US_PER_DAY)
    events = Events(
        rows=rows,
        occurred_at_us=occurred,
        amount_units=units,
        is_refund=refund,
        hashes=hashes,
        generations=occurred // horizon_us,  # as if each had arrived when it happened
        topics=np.zeros(len(rows), dtype=np.int64),
        offsets=np.arange(len(rows)),
    )
    calendar = BusinessCalendar(settings.timezone)
    return History(list(index), events, calendar.day_of(occurred), report, refused)


def _stamps_ms(records: Sequence[SourceRecord]) -> list[int]:
    return [int(record.occurred_at.timestamp() * 1000) for record in records]


def _take(events: Events, chosen: NDArray[np.bool_]) -> Events:
    columns: dict[str, Any] = {
        column.name: getattr(events, column.name)[chosen]
        for column in fields(Events)
        if column.name not in {"hashes", "not_before_us"}
    }
    hashes = [events.hashes[row] for row in np.flatnonzero(chosen).tolist()]
    return Events(hashes=hashes, **columns)
