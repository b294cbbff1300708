"""What one seed simulates: the installation, its settings, and which promises must hold to the letter.

Four kinds, by what happens together:

steady
    Redis is never rolled back. Everything else may happen: the wall clock, new scorecards, records on
    foreign partitions, workers that are cut off. What is in Redis is then the one history, and all
    must agree with it.
pure
    Redis is cut back, flushed, or fails over to a replica that lags; but the clock is the events', there
    is one scorecard and every record is at home. History is then a function of the log alone, and a
    run without any fault must come to the very same states and changes.
journaled
    Redis is rolled back, and decisions are taken that only the journal knows of: sweeps by the wall
    clock, new scorecards, two input topics. All that was told must come out again, body by body.
mixed
    Everything at once. A worker that is cut off may publish what it had committed after its successor has
    read the journal, and Redis may have lost it meanwhile: the residue that decision 8 names. So
    changes may have been told here that no state speaks of; that all the states speak of was told
    is checked, and so are recency, frequency and monetary state, counters, timers and outbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from streams.settings import Clock, Settings

DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class Scenario:
    """One seed's world.

    Attributes
    ----------
    storms : bool
        Much happens at once.
    rollbacks, zombies, swaps, detours : bool
        Redis loses writes; workers work on that Kafka has left out; new scorecards; records on
        foreign partitions.
    batch_slices_max : int
        How many slices' records are read at a time.
    erasures : bool
        Customers ask to be forgotten.
    """

    seed: int
    kind: str
    partitions: int
    workers: int
    customers: int
    bursts: int
    faults: int
    storms: bool
    rollbacks: bool
    zombies: bool
    swaps: bool
    detours: bool
    batch_slices_max: int
    erasures: bool
    settings: Settings

    @property
    def live(self) -> bool:
        """Whether events come about when they happen, so that silence goes by the wall clock."""
        return self.settings.clock is not Clock.EVENT

    @property
    def told_for_good(self) -> bool:
        """Whether nothing may have been told that is no longer so."""
        return self.kind != "mixed"

    def random(self, purpose: str) -> Random:
        """Chance of its own for each purpose, so that one's use of it does not move another's."""
        return Random(f"{self.seed} {purpose}")


@lru_cache
def _defaults() -> Settings:
    return Settings(_env_file=None, owner="nobody", session_timeout_seconds=3.0)


def scenario_of(seed: int) -> Scenario:
    """The world of a seed."""
    random = Random(f"{seed} scenario")
    kind = random.choice(("pure", "steady", "journaled", "mixed"))
    clock = Clock.EVENT if kind == "pure" else random.choice(list(Clock))
    detours = kind != "pure" and random.random() < 0.6
    live = clock is not Clock.EVENT
    fields: dict[str, Any] = {
        "clock": clock,
        "slice_records_max": random.choice((1, 2, 4, 8)),
        "sweep_customers_max": random.choice((1, 3, 2_000)),
        "sweep_interval_seconds": random.choice((0.1, 1.0)),
        "cache_customers_max": random.choice((1, 8, 500_000)),
        "relay_entries_max": random.choice((1, 3, 256)),
        "lateness_seconds": random.choice((0.0, 0.0, 10 * DAY_SECONDS)),
        # Where ids may be read long after they arrived, they must be remembered as long.
        "dedup_horizon_days": 400.0 if live else 7.0,
    }
    return Scenario(
        seed=seed,
        kind=kind,
        partitions=random.choice((1, 2, 3)),
        workers=random.choice((2, 3)),
        customers=random.choice((4, 12, 24)),
        bursts=random.randint(12, 24),
        faults=random.randint(3, 8),
        storms=random.random() < 0.5,
        rollbacks=kind != "steady",
        zombies=kind != "journaled",
        swaps=kind != "pure" and random.random() < 0.6,
        detours=detours,
        batch_slices_max=random.choice((1, 1, 3)),
        erasures=random.random() < 0.5,
        settings=_defaults().model_copy(update=fields),
    )
