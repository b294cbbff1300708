"""All customers of a partition as columns, while it is counted again: no Redis, no bytes, no limit.

Owns where a customer's row is. Knows no rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from scoring.states import NEVER_US, States
from state.memory_store import MemoryStore
from state.owner_cache import OwnerCache

_UNLIMITED = 2**62


class Everyone(OwnerCache):
    """An owner's cache that never forgets anybody, and so need not know who came last."""

    def __init__(self) -> None:
        super().__init__(_UNLIMITED)
        self._gone: set[str] = set()

    def __contains__(self, customer_id: str) -> bool:
        return super().__contains__(customer_id) and customer_id not in self._gone

    def get(
        self, customer_ids: Sequence[str], *, used: bool = True
    ) -> tuple[States, NDArray[np.intp]]:
        """See `OwnerCache.get`."""
        slots = self.slots(customer_ids)
        found = np.flatnonzero(slots >= 0)
        return self._rows_of([customer_ids[row] for row in found.tolist()], slots[found]), found

    def slots(self, customer_ids: Sequence[str]) -> NDArray[np.intp]:
        """Row of each customer, in the order in which they were met; −1 for those never met."""
        slot = self._slots.get
        return np.array([slot(customer_id, -1) for customer_id in customer_ids], dtype=np.intp)

    def put(self, states: States, *, used: bool = True) -> None:
        """See `OwnerCache.put`."""
        super().put(states)
        self._gone.difference_update(states.customer_ids)

    def erase(self, customer_id: str, sequence: int) -> None:
        """Forget all of a customer but the row and the number of changes."""
        row = self._slots[customer_id]
        self._blank(row)
        self._rows.numbers["sequence"][row] = sequence
        self._gone.add(customer_id)

    def gone_of(self, customer_ids: Sequence[str]) -> NDArray[np.intp]:
        """Which of some were met, and erased since."""
        found = [row for row, name in enumerate(customer_ids) if name in self._gone]
        return np.array(found, dtype=np.intp)

    @property
    def customer_ids(self) -> list[str]:
        """All that were ever met, by row."""
        return list(self._slots)

    @property
    def known_ids(self) -> list[str]:
        """All that are not erased."""
        return [name for name in self._slots if name not in self._gone]

    def pages(self, size: int) -> Iterator[States]:
        """All that are not erased, some at a time."""
        ids = self.known_ids
        for start in range(0, len(ids), size):
            some = ids[start : start + size]
            yield self._rows_of(some, self.slots(some))

    def reviews(self) -> NDArray[np.int64]:
        """When silence moves each of them next."""
        column: NDArray[np.int64] = self._rows.numbers["next_review_us"][: len(self)]
        return column

    def _rows_of(self, customer_ids: list[str], rows: NDArray[np.intp]) -> States:
        columns = self._rows
        return States(
            customer_ids,
            columns.numbers[rows],
            columns.days[rows],
            columns.ids_previous[rows],
            columns.ids_current[rows],
        )

    def _slot(self, customer_id: str) -> int:
        return self._slots.setdefault(customer_id, len(self._slots))


class ColumnStore(MemoryStore):
    """What the engine asks of a store, answered from the columns of one partition."""

    def __init__(self) -> None:
        super().__init__()
        self.everyone = Everyone()

    async def due(self, partition: int, until_us: int, limit: int) -> list[str]:
        """See `Store.due`."""
        reviews = self.everyone.reviews()
        rows = np.flatnonzero(reviews <= until_us)
        first = rows[np.argsort(reviews[rows], kind="stable")[:limit]]
        ids = self.everyone.customer_ids if len(first) else []
        return [ids[row] for row in first.tolist()]

    async def next_due_us(self, partition: int) -> int:
        """See `Store.next_due_us`."""
        return int(self.everyone.reviews().min(initial=NEVER_US))

    async def customers(self, partition: int, cursor: int, count: int) -> tuple[int, list[str]]:
        """See `Store.customers`."""
        ids = self.everyone.known_ids
        end = cursor + count
        return (end if end < len(ids) else 0), ids[cursor:end]
