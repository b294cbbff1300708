"""What a fault needs: the row's servers, workers, load and watch; and the notes it leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from tests.chaos.crew import Crew, Worker
from tests.chaos.kafka import ChaosKafka
from tests.chaos.load import Load
from tests.chaos.place import Place
from tests.chaos.redis_server import ChaosRedis
from tests.chaos.tcp_proxy import Door
from tests.chaos.watch import Watch


@dataclass
class Stage:
    """One row while it runs.

    Attributes
    ----------
    random : Random
        Of the row's seed: which worker, which byte, how long.
    session_seconds : float
    full_seconds : float
        How long a full Redis stays full.
    kafka_door : Door or None
        Where the workers' Kafka passes by, in the row that needs it.
    replica, replication : the second Redis and its way to the first, in the row that needs them
    recoveries : list of float
        Seconds of each fault until all partitions concerned moved on.
    faults : int
    notes : counts of what happened besides, for the report
    spared : Worker or None
        Whom no fault strikes: their memory is measured.
    """

    kafka: ChaosKafka
    place: Place
    crew: Crew
    watch: Watch
    load: Load | None
    random: Random
    session_seconds: float
    full_seconds: float
    kafka_door: Door | None = None
    replica: ChaosRedis | None = None
    replication: Door | None = None
    recoveries: list[float] = field(default_factory=list)
    faults: int = 0
    notes: dict[str, int] = field(default_factory=dict)
    spared: Worker | None = None

    def note(self, what: str, count: int = 1) -> None:
        """Count something for the report."""
        self.notes[what] = self.notes.get(what, 0) + count

    def somebody(self) -> Worker:
        """A worker that owns partitions, and is not spared."""
        owners = [w for w in self.crew.workers if self.watch.of(w.name) and w is not self.spared]
        return self.random.choice(owners)


Fault = Callable[[Stage], Awaitable[None]]
