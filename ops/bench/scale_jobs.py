"""Jobs that ask one question each: what grows, and with what.

Owns which purchases come before the clock runs and which are measured. All are in time order, so that
the oracle knows what becomes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from ops.bench.job import PARTITIONS, Job, job_of, make_job
from ops.loaders.source import SourceTransaction
from streams.homes import home_partition

_BEGIN = datetime(1997, 1, 1, tzinfo=UTC)
_PRICE = Decimal("20.00")

# A one-time buyer's P(alive) falls below the first threshold after some 90 days: within these nobody
# who rests is due, and after these somebody is.
_QUIET_DAYS = 30
_SECOND_DAY, _TICK_DAY = 60, 100

ACTIVE = 1_000
ACTIVE_PURCHASES = 40
DUE = 20_000
COLD = 50_000
WARM_UP = 2_000
LIVE_RATE, LIVE_SECONDS = 2_000.0, 90.0
HOT_SHARE = 10
"""Every so manyth purchase is the hot customer's."""


@dataclass(frozen=True)
class Scenario:
    """One run.

    Attributes
    ----------
    question : str
        Rows of one question are compared with its first.
    row : str
        What is different in this one.
    job : Job
        Everything; the first `before` purchases are counted before the clock runs.
    restart : bool
        A new worker counts what is measured.
    workers : int
    due : int
        Customers whom silence moves while it is measured.
    rescores : bool
        What is measured is a new scorecard.
    live_rate : float
        Purchases a second that flow meanwhile: those after the first `before`.
    """

    question: str
    row: str
    job: Job
    before: int = 0
    restart: bool = False
    workers: int = 1
    due: int = 0
    rescores: bool = False
    live_rate: float = 0.0


def _purchase(number: int, customer_id: str, day: float) -> SourceTransaction:
    moment = _BEGIN + timedelta(days=day)
    return SourceTransaction(f"scale-{number}", customer_id, moment, _PRICE)


def _together(*parts: Sequence[tuple[str, float]]) -> Job:
    """Customers and days, part after part, as a job."""
    rows = [row for part in parts for row in part]
    return job_of(1, [_purchase(n, name, day) for n, (name, day) in enumerate(rows)])


def _resting(count: int, day: float) -> list[tuple[str, float]]:
    return [(f"rests-{day:g}-{number}", day) for number in range(count)]


def known_customers(sizes: Sequence[int]) -> list[Scenario]:
    """The same purchases by the same few, among so many who rest."""
    active = [f"active-{number}" for number in range(ACTIVE)]
    step = _QUIET_DAYS / ACTIVE_PURCHASES
    measured = [(name, 1 + turn * step) for turn in range(ACTIVE_PURCHASES) for name in active]
    found = []
    for size in sizes:
        before = _resting(max(0, size - ACTIVE), 0) + [(name, 0.0) for name in active]
        job = _together(before, measured)
        found.append(Scenario("known", f"{size:,} known customers", job, len(before)))
    return found


def sweeps(sizes: Sequence[int]) -> list[Scenario]:
    """Silence moves the same number of customers, among so many whom it does not move yet."""
    ticks = [
        next(name for n in range(1_000) if home_partition(name := f"tick-{n}", PARTITIONS) == p)
        for p in range(PARTITIONS)
    ]
    found = []
    for size in sizes:
        due, others = _resting(DUE, 0), _resting(max(0, size - DUE), _SECOND_DAY)
        job = _together(due, others, [(name, _TICK_DAY) for name in ticks])
        row = f"{DUE:,} due of {size:,} known"
        found.append(Scenario("sweep", row, job, len(due) + len(others), due=DUE))
    return found


def cold_cache(sizes: Sequence[int]) -> list[Scenario]:
    """One purchase each of many, by the worker that knows them and by one that has just started."""
    known = _resting(max(*sizes, COLD), 0)
    measured = [(name, 1.0) for name, _ in known[:COLD]]
    job = _together(known, measured)
    return [
        Scenario("cold", "states in the worker's memory", job, len(known)),
        Scenario("cold", "states in Redis only", job, len(known), restart=True),
    ]


def new_scorecards(sizes: Sequence[int]) -> list[Scenario]:
    """A new scorecard for so many customers at rest, alone and while others buy."""
    found = []
    for size in sizes:
        resting = _resting(size, 0)
        live = [(f"buys-{number}", 1.0) for number in range(int(LIVE_RATE * LIVE_SECONDS))]
        row = f"{size:,} customers"
        found += [
            Scenario("rescore", row, _together(resting), size, rescores=True),
            Scenario(
                "rescore",
                f"{row}, and {LIVE_RATE:,.0f} new ones a second",
                _together(resting, live),
                size,
                rescores=True,
                live_rate=LIVE_RATE,
            ),
        ]
    return found


def hot_key(copies: int) -> list[Scenario]:
    """CDNOW, and CDNOW with one customer who makes a tenth of all purchases."""
    plain = make_job(copies)
    hot = [
        replace(purchase, customer_id="hot") if number % HOT_SHARE == 0 else purchase
        for number, purchase in enumerate(plain.purchases)
    ]
    return [
        Scenario("skew", "CDNOW", plain, WARM_UP),
        Scenario("skew", "one customer makes a tenth of it", job_of(copies, hot), WARM_UP),
    ]


def two_workers(copies: int) -> list[Scenario]:
    """The same job by one worker process and by two."""
    job = make_job(copies)
    return [
        Scenario("workers", "one worker", job, WARM_UP),
        Scenario("workers", "two workers", job, WARM_UP, workers=2),
    ]


QUESTIONS: dict[str, Callable[[Sequence[int], int], list[Scenario]]] = {
    "known": lambda sizes, _: known_customers(sizes),
    "sweep": lambda sizes, _: sweeps([size for size in sizes if size >= DUE]),
    "cold": lambda sizes, _: cold_cache(sizes[:1]),
    "rescore": lambda sizes, _: new_scorecards(sizes[-1:]),
    "skew": lambda _, copies: hot_key(copies),
    "workers": lambda _, copies: two_workers(copies),
}
"""By name: of sizes and copies."""
