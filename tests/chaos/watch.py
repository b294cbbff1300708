"""How long partitions stand still: a look at all checkpoints twenty times a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from tests.chaos.crew import Crew
from tests.chaos.place import PARTITIONS, Place, Position

_LOOK_SECONDS = 0.05
_STUCK_SECONDS = 120.0


class StuckError(AssertionError):
    """What was waited for did not come; says what the workers said."""


class Watch:
    """Follows the partitions' checkpoints.

    Attributes
    ----------
    positions : where each partition stands now, as far as is known
    highest : how far each has ever come
    """

    def __init__(self, place: Place, crew: Crew) -> None:
        self._place = place
        self._crew = crew
        self.positions: dict[int, Position] = {}
        self.highest = dict.fromkeys(range(PARTITIONS), 0)

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await self._look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> bool:
        found = await self._place.positions()
        if found is None:
            return False
        self.positions = found
        for partition, position in found.items():
            self.highest[partition] = max(self.highest[partition], position.offset)
        return True

    async def _look_anew(self) -> None:
        """What was committed just before a fault must not pass for progress after it."""
        deadline = time.monotonic() + _STUCK_SECONDS
        while not await self._look():
            if time.monotonic() > deadline:
                raise StuckError(f"Redis does not answer\n{self._crew.logs()}")
            await asyncio.sleep(_LOOK_SECONDS)

    def of(self, owner: str) -> set[int]:
        """Partitions of a worker, by Redis."""
        return {p for p, position in self.positions.items() if position.owner == owner}

    async def moved_on(self, since: float, partitions: Iterable[int] | None = None) -> float:
        """Wait until partitions are past where they stand when this is asked, and ever stood.

        Parameters
        ----------
        since : time.monotonic() of the fault, or of its end
        partitions : those concerned; all by default

        Returns
        -------
        float
            Seconds since then.
        """
        concerned = set(range(PARTITIONS)) if partitions is None else set(partitions)
        await self._look_anew()
        stood = {partition: self.highest[partition] for partition in concerned}

        def all_moved() -> bool:
            return all(
                partition in self.positions and self.positions[partition].offset > offset
                for partition, offset in stood.items()
            )

        await self.until(all_moved, f"partitions {sorted(concerned)} going on after {stood}")
        return time.monotonic() - since

    async def shared(self) -> None:
        """Wait until exactly the workers that run own the partitions, each of them some."""

        def all_own() -> bool:
            owners = {position.owner for position in self.positions.values()}
            return owners == {worker.name for worker in self._crew.workers}

        await self.until(all_own, "every worker owning partitions")

    async def until(
        self, reached: Callable[[], bool], what: str, seconds_max: float = _STUCK_SECONDS
    ) -> None:
        """Wait; fails with the workers' logs when it takes too long."""
        deadline = time.monotonic() + seconds_max
        while not reached():
            if time.monotonic() > deadline:
                raise StuckError(
                    f"waited {seconds_max:.0f} s for {what}; {self.positions}\n{self._crew.logs()}"
                )
            await asyncio.sleep(_LOOK_SECONDS / 2)
