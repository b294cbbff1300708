"""The simulated consumer group: who is a member, and who has which partitions.

Eager, as Kafka's range assignor is: all give up what they have, then each is told what is theirs. A
member that is not heard of for a session is left out, and may not know it: a zombie.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random

from faust.types import TP

from tests.simulation.consumer import Consumer
from tests.simulation.kafka import Brokers
from tests.simulation.loop import Process
from tests.simulation.trace import Trace

_HEARTBEAT_SECONDS = 0.4
_REBALANCE_SECONDS_MAX = 8.0  # a member that has not given up its partitions by then is left out
_NEWS_SECONDS_MAX = 1.5  # how long a member may not notice what the coordinator decided
_NOTHING: frozenset[TP] = frozenset()


@dataclass
class Seat:
    """One member, as the coordinator sees it."""

    process: Process
    consumer: Consumer
    seen: float
    joined: bool = False
    told: bool = False


class Group:
    """The coordinator.

    Parameters
    ----------
    topics : input topics
    partitions : int
        Of each of them.
    session_seconds : float
    """

    def __init__(
        self,
        brokers: Brokers,
        topics: tuple[str, ...],
        partitions: int,
        session_seconds: float,
        random: Random,
        trace: Trace,
    ) -> None:
        self._brokers = brokers
        self._topics = topics
        self._partitions = partitions
        self._session = session_seconds
        self._random = random
        self._trace = trace
        self._seats: list[Seat] = []
        self._left_out: list[Seat] = []
        self._changed = False
        self.generation = 0
        self.mail: dict[Process, asyncio.Queue[tuple[str, frozenset[TP]]]] = {}

    def join(self, process: Process, consumer: Consumer) -> None:
        """A new member asks to be let in."""
        self.mail.setdefault(process, asyncio.Queue())
        self._seats.append(Seat(process, consumer, self._brokers.loop.time()))
        self._changed = True

    def leave(self, process: Process) -> None:
        """A member says goodbye."""
        self._seats = [seat for seat in self._seats if seat.process is not process]
        self._changed = True

    async def attend(self, process: Process, consumer: Consumer) -> None:
        """What a member does: listens to the coordinator for ever."""
        self.join(process, consumer)
        while True:
            word, tps = await self.mail[process].get()
            await asyncio.sleep(self._random.random() * 0.05)
            if word == "assign":
                await consumer.resume(tps)
                continue
            await consumer.revoke()
            if word == "left out":
                consumer.lose()
                self.join(process, consumer)
            for seat in self._seats:
                if seat.process is process:
                    seat.joined = True

    async def coordinate(self) -> None:
        """What the coordinator does for ever."""
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            self._listen()
            if self._changed:
                await self._rebalance()

    def _reaches(self, seat: Seat) -> bool:
        return self._brokers.reaches(seat.process) and not seat.process.stalled

    def _listen(self) -> None:
        now = self._brokers.loop.time()
        for seat in list(self._seats):
            if self._reaches(seat):
                seat.seen = now
            elif now - seat.seen > self._session:
                self._leave_out(seat)
        self._left_out = [seat for seat in self._left_out if seat.process.alive]
        for seat in list(self._left_out):
            if self._reaches(seat):
                self._left_out.remove(seat)
                self._brokers.loop.outside(
                    self._random.random() * _NEWS_SECONDS_MAX, self._tell, seat, "left out"
                )

    def _tell(self, seat: Seat, word: str, tps: frozenset[TP] = _NOTHING) -> None:
        self.mail[seat.process].put_nowait((word, tps))

    def _leave_out(self, seat: Seat) -> None:
        self._trace.add("group", "goes on without", seat.process)
        self._seats.remove(seat)
        self._left_out.append(seat)
        self._changed = True

    async def _rebalance(self) -> None:
        self._changed = False
        self.generation += 1
        self._trace.add("group", "rebalances", self.generation)
        for seat in self._seats:
            seat.joined = seat.told = False
        deadline = self._brokers.loop.time() + _REBALANCE_SECONDS_MAX
        while not all(seat.joined for seat in self._seats):
            for seat in self._seats:
                if not seat.told and self._reaches(seat):
                    seat.told = True
                    self._tell(seat, "revoke")
            await asyncio.sleep(_HEARTBEAT_SECONDS / 4)
            self._listen()
            if self._brokers.loop.time() > deadline:
                for seat in [seat for seat in self._seats if not seat.joined]:
                    self._leave_out(seat)
        self._assign()

    def _assign(self) -> None:
        """Ranges of partitions, all topics alike."""
        self._random.shuffle(self._seats)
        for number, seat in enumerate(self._seats):
            first, after = (
                place * self._partitions // len(self._seats) for place in (number, number + 1)
            )
            tps = frozenset(
                TP(topic, partition) for topic in self._topics for partition in range(first, after)
            )
            self._trace.add("group", f"gives {seat.process}", list(range(first, after)))
            self._tell(seat, "assign", tps)
