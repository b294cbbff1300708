"""How much memory workers take, and whether it grows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.crew import Crew

_SAMPLE_SECONDS = 5.0
_MB = 1024.0  # VmRSS is in kilobytes


@dataclass
class Lifetime:
    """One worker process: seconds since the beginning and megabytes resident, sample by sample."""

    name: str
    samples: list[tuple[float, float]] = field(default_factory=list)

    def after(self, warm_up: float) -> list[tuple[float, float]]:
        """Samples from when the warm-up is over."""
        return [sample for sample in self.samples if sample[0] >= warm_up]

    def slope_per_hour(self, warm_up: float) -> float | None:
        """Megabytes an hour by least squares; None for fewer than two samples."""
        return slope(self.after(warm_up), 3_600.0)


def slope(points: Sequence[tuple[float, float]], unit: float) -> float | None:
    """Rise of y for each `unit` of x by least squares.

    >>> slope([(0, 1), (1, 3), (2, 5)], 1.0)
    2.0
    """
    if len(points) < 2:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return unit * sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def resident_mb(pid: int) -> float | None:
    """Megabytes of a process in memory; None if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / _MB for line in lines if line.startswith("VmRSS")), None)


async def sample_forever(crew: Crew, lifetimes: dict[str, Lifetime]) -> None:
    """Note every worker's memory now and then."""
    began = time.monotonic()
    while True:
        for worker in crew.workers:
            megabytes = resident_mb(worker.process.pid)
            if megabytes is not None:
                lifetime = lifetimes.setdefault(worker.name, Lifetime(worker.name))
                lifetime.samples.append((time.monotonic() - began, megabytes))
        await asyncio.sleep(_SAMPLE_SECONDS)
