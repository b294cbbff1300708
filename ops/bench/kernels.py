"""What a worker does between Kafka and Redis, without either: for a count of its instructions.

`python -m ops.bench.kernels PURCHASES COUNT...` lets the first purchases of a file through `KERNELS`, so
many through each. Prints nothing and measures nothing: who calls it counts.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from schemas.decoding import decode_transactions
from schemas.scorecard import Scorecard
from scoring.bootstrap import bootstrap_scorecard
from scoring.prospects import prospects_of
from state.keys import Keys
from state.memory_store import MemoryStore
from state.outbox import Run
from state.rows import CustomerRows
from state.slice_arguments import slice_arguments
from state.store import SliceCommit
from streams.engine import SliceEngine
from streams.messages import Record
from streams.packed_batches import CODECS, packed_batches
from streams.publisher import BATCH_BYTES
from streams.settings import Settings

PARTITIONS = 4
"""Of the installation; all purchases of the file belong on partition 0."""
LARGE, SMALL = 500, 8
"""Records of a slice: of one who catches up, and of one who keeps pace with 2,000 a second."""
_COLUMN = 8
_FREQUENT, _DAYS = 40, 2.0 ** np.arange(10)  # repeat purchases and ages that CDNOW has


@dataclass(frozen=True, slots=True)
class Purchase:
    """A record as the consumer hands it over."""

    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: tuple[()] = ()


class _NowhereStore(MemoryStore):
    """Prepares everything that Redis would be sent, and sends it nowhere; knows nobody."""

    def __init__(self) -> None:
        super().__init__()
        self._keys = Keys()

    async def load_many(
        self, partition: int, customer_ids: Sequence[str]
    ) -> list[Mapping[str, bytes] | None]:
        return [None] * len(customer_ids)

    async def commit_slice(self, commit: SliceCommit) -> str:
        rows = commit.rows
        whole = rows.whole_hashes() if isinstance(rows, CustomerRows) else None
        slice_arguments(self._keys, commit, whole)
        return f"1-{commit.after.commits}"


def reference(purchases: Sequence[Purchase]) -> None:
    """What nothing of ours can make faster: the standard library's JSON, a dictionary, small columns.

    Its instructions are the unit, so that other versions of Python and numpy, and other processors,
    matter less: they change it, too.
    """
    totals: dict[str, float] = {}
    for some in _slices(purchases, _COLUMN):
        amounts = []
        for purchase in some:
            told = json.loads(purchase.value)
            amount = float(told["amount"])
            totals[told["customer_id"]] = totals.get(told["customer_id"], 0.0) + amount
            amounts.append(amount)
        column = np.array(amounts)
        for _ in range(_COLUMN):
            column = np.where(column > column.mean(), np.log1p(column), column + 1.0)


def decode(purchases: Sequence[Purchase]) -> None:
    """From bytes to columns, `LARGE` at a time."""
    limits = Settings().decoding_limits
    for some in _slices(purchases, LARGE):
        decode_transactions(
            [purchase.value for purchase in some],
            [purchase.timestamp for purchase in some],
            limits,
        )


def count(purchases: Sequence[Purchase], size: int) -> None:
    """From records to what Redis is sent and to the batches for Kafka, `size` at a time."""
    asyncio.run(_count(purchases, size))


async def _count(purchases: Sequence[Purchase], size: int) -> None:
    settings, card, store = Settings(), bootstrap_scorecard(), _NowhereStore()
    await store.save_scorecard(card.version, card.model_dump_json().encode(), current=True)
    engine = SliceEngine(store, settings, PARTITIONS)
    await engine.acquire(0)
    _make_tables(card)
    codec = CODECS[settings.compression_type]
    for some in _slices(purchases, size):
        records = cast(Sequence[Record], some)
        committed = await engine.process(settings.transactions_topic, 0, records)
        for told in committed.outgoing if committed else ():
            if isinstance(told, Run):
                list(packed_batches(told.records, BATCH_BYTES, codec))


def _make_tables(card: Scorecard) -> None:
    """What a worker makes once for a scorecard, and what is little for each of millions of purchases."""
    frequency, span = np.meshgrid(np.arange(_FREQUENT), card.alive.alpha_days + _DAYS)
    prospects = prospects_of(card.alive, card.discount_rate)
    prospects.sums_if_alive(frequency.ravel(), span.ravel())


def _slices(purchases: Sequence[Purchase], size: int) -> Iterator[Sequence[Purchase]]:
    return (purchases[start : start + size] for start in range(0, len(purchases), size))


KERNELS: dict[str, Callable[[Sequence[Purchase]], None]] = {
    "reference": reference,
    "decode": decode,
    f"slices of {LARGE}": partial(count, size=LARGE),
    f"slices of {SMALL}": partial(count, size=SMALL),
}


def write_purchases(path: Path, rows: Sequence[tuple[int, str, bytes]]) -> None:
    """Timestamps in milliseconds, customer ids and values, for `read_purchases`."""
    told = [[timestamp, customer, value.decode()] for timestamp, customer, value in rows]
    path.write_text(json.dumps(told))


def read_purchases(path: Path, count: int) -> list[Purchase]:
    """The first so many of a file of `write_purchases`."""
    return [
        Purchase(offset, timestamp, customer.encode(), value.encode())
        for offset, (timestamp, customer, value) in enumerate(json.loads(path.read_text())[:count])
    ]


def main() -> None:
    """Run all, one after the other."""
    path, *counts = sys.argv[1:]
    for kernel, purchases in zip(KERNELS.values(), counts, strict=True):
        kernel(read_purchases(Path(path), int(purchases)))


if __name__ == "__main__":
    main()
