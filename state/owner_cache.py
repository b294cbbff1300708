"""States of the customers a worker owns, so that a slice reads only what it has not seen lately.

Columnar and bounded: the least recently used customers make room. Holds only what was committed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scoring.states import States


class OwnerCache:
    """Up to `capacity` customers of one partition."""

    def __init__(self, capacity: int) -> None:
        self._capacity = max(capacity, 1)
        self._slots: OrderedDict[str, int] = OrderedDict()
        self._free: list[int] = []
        self._rows = States.blank([""] * min(self._capacity, 1024))

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, customer_id: str) -> bool:
        return customer_id in self._slots

    def get(
        self, customer_ids: Sequence[str], *, used: bool = True
    ) -> tuple[States, NDArray[np.intp]]:
        """Copies of the customers that are here, and which of those asked for they are.

        Parameters
        ----------
        used : bool
            Whether this is a use of them, or leaves whose turn it is to go.
        """
        found: list[int] = []
        slots: list[int] = []
        touch, lookup = self._slots.move_to_end, self._slots.get
        for position, customer_id in enumerate(customer_ids):
            slot = lookup(customer_id)
            if slot is not None:
                if used:
                    touch(customer_id)
                found.append(position)
                slots.append(slot)
        states = self._rows.of([customer_ids[position] for position in found], slots)
        return states, np.array(found, dtype=np.intp)

    def put(self, states: States, *, used: bool = True) -> None:
        """Keep committed states; only the last `capacity` of them if there are more.

        Parameters
        ----------
        used : bool
            Whether they were used. If not, those who are here are kept as they are now, and nobody makes room
            for the others.
        """
        if not used:
            states = self._without_eviction(states)
        if len(states) > self._capacity:
            states = states.take(np.arange(len(states) - self._capacity, len(states)))
        if not len(states):
            return
        slots = [
            self._slot(customer_id) if used or customer_id not in self else self._slots[customer_id]
            for customer_id in states.customer_ids
        ]
        last = max(slots)
        if last >= len(self._rows.numbers):
            self._grow(last + 1)
        self._rows.put(slots, states)

    def _without_eviction(self, states: States) -> States:
        here = [customer_id in self._slots for customer_id in states.customer_ids]
        room = self._capacity - len(self._slots)
        if len(here) - sum(here) <= room:
            return states
        return states.take(np.flatnonzero(here))

    def drop(self, customer_id: str) -> None:
        """Forget one, and everything of theirs."""
        slot = self._slots.pop(customer_id, None)
        if slot is not None:
            self._blank(slot)
            self._free.append(slot)

    def _blank(self, slot: int) -> None:
        self._rows.put([slot], States.blank([""]))

    def clear(self) -> None:
        """Forget everyone."""
        self._slots.clear()
        self._free.clear()
        self._rows = States.blank([""] * min(self._capacity, 1024))

    def _slot(self, customer_id: str) -> int:
        slot = self._slots.get(customer_id)
        if slot is None:
            if self._free:
                slot = self._free.pop()
            elif len(self._slots) >= self._capacity:
                slot = self._slots.popitem(last=False)[1]
            else:
                slot = len(self._slots)
            self._slots[customer_id] = slot
        else:
            self._slots.move_to_end(customer_id)
        return slot

    def _grow(self, needed: int) -> None:
        size = min(max(needed, 2 * len(self._rows.numbers)), self._capacity)
        grown = States.blank([""] * size)
        used = len(self._rows.numbers)
        for name in ("numbers", "days", "ids_previous", "ids_current"):
            getattr(grown, name)[:used] = getattr(self._rows, name)
        self._rows = grown
