"""How much memory workers take, and whether it grows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scipy.stats import linregress, theilslopes

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
    x, y = zip(*points, strict=True)
    return unit * float(linregress(x, y).slope)


def median_slope(points: Sequence[tuple[float, float]], unit: float) -> float:
    """The median of the slopes between any two points: what goes on rising, without what rose once.

    Notes
    -----
    The estimator of Theil (1950) and Sen (1968); for memory that ages, Garg, van Moorsel, Vaidyanathan and
    Trivedi (1998), "A methodology for detection and estimation of software aging".

    >>> median_slope([(0, 1), (1, 3), (2, 5)], 1.0)
    2.0
    """
    x, y = zip(*points, strict=True)
    return unit * float(theilslopes(y, x).slope)


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
