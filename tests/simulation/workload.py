"""What producers do: purchases and refunds, twice, late, out of order, badly keyed, and bad ones.

Keeps the truth about each record it writes, so that nothing has to be read back to know it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from schemas.erasure import erasure_headers
from state.outbox import Message
from streams.homes import home_partition
from tests.simulation.kafka import Log
from tests.simulation.scenario import Scenario
from tests.simulation.trace import Trace

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000
FIRST_EVENT_US = int(datetime(1997, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
ARRIVAL_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
_REPEAT_WITHIN_US = 6 * _DAY_US  # a producer that sends twice does so within the horizon


@dataclass(frozen=True)
class Sale:
    """One purchase or refund, as it truly was."""

    transaction_id: str
    customer_id: str
    at_us: int
    cents: int
    is_refund: bool

    @property
    def value(self) -> bytes:
        """The record's bytes."""
        return json.dumps(
            {
                "transaction_id": self.transaction_id,
                "customer_id": self.customer_id,
                "occurred_at": (_EPOCH + timedelta(microseconds=self.at_us)).isoformat(),
                "amount": self.cents / 100,
                "kind": "refund" if self.is_refund else "purchase",
            }
        ).encode()


@dataclass(frozen=True)
class Produced:
    """One record of the transactions topic; `sale` is None for a bad one and for an erasure."""

    partition: int
    offset: int
    value: bytes | None
    sale: Sale | None
    erased: str = ""  # customer


class Producers:
    """All who publish transactions.

    Attributes
    ----------
    produced : list of Produced
    """

    def __init__(self, scenario: Scenario, log: Log, trace: Trace) -> None:
        self._scenario = scenario
        self._log = log
        self._trace = trace
        self._random = scenario.random("workload")
        self._clock_us = FIRST_EVENT_US
        self._first_sent: list[tuple[int, Sale]] = []
        self.produced: list[Produced] = []
        self.erased_until: dict[str, int] = {}  # customer to event time
        self._rhythm = {
            f"c{number}": self._random.choice((1.0, 5.0)) for number in range(scenario.customers)
        }

    def burst(self, now_us: int) -> None:
        """Publish a handful of records."""
        random = self._random
        if self._scenario.live:
            self._clock_us = now_us
        else:
            self._clock_us += round(random.expovariate(1 / 12) * _DAY_US)
        for _ in range(random.randint(1, 6)):
            chance = random.random()
            if chance < 0.12 and self._first_sent:
                self._repeat(now_us)
            elif chance < 0.18:
                self._send_bad(now_us)
            elif chance < 0.2 and self._scenario.erasures:
                self._erase(random.choice(list(self._rhythm)))
            else:
                sale = self._sale()
                self._first_sent.append((now_us, sale))
                self._send(sale, now_us)

    def _sale(self) -> Sale:
        random = self._random
        names, weights = list(self._rhythm), list(self._rhythm.values())
        if (
            random.random() < 0.15 and self._first_sent
        ):  # money back, perhaps all of it, perhaps early
            sale = random.choice(self._first_sent)[1]
            at_us = sale.at_us + random.choice((0, _HOUR_US, -_HOUR_US))
            name, cents = sale.customer_id, random.choice((sale.cents, 100))
            return Sale(self._id(), name, min(at_us, self._clock_us), cents, is_refund=True)
        late = random.expovariate(1 / 20) * _DAY_US if random.random() < 0.2 else 0
        at_us = self._clock_us - round(late) + random.randint(-_HOUR_US // 2, 0)
        cents = random.choice((0, 199, 1_000, 25_000))
        return Sale(self._id(), random.choices(names, weights)[0], at_us, cents, is_refund=False)

    def _id(self) -> str:
        return f"t{len(self.produced)}"

    def _repeat(self, now_us: int) -> None:
        since, sale = self._random.choice(self._first_sent)
        # What is sent twice must come to its customer twice within the horizon: not by detours.
        if self._scenario.live or (
            now_us - since < _REPEAT_WITHIN_US and not self._scenario.detours
        ):
            self._send(sale, now_us)

    def _send(self, sale: Sale, now_us: int) -> None:
        random, count = self._random, self._scenario.partitions
        partition = home_partition(sale.customer_id, count)
        if self._scenario.detours and random.random() < 0.3:
            partition = random.randrange(count)
        self._append(partition, sale.value, sale, now_us)

    def _erase(self, customer_id: str) -> None:
        """Ask to forget a customer as of the events' clock, which no event of before is ahead of."""
        partition = home_partition(customer_id, self._scenario.partitions)
        stamp_ms = -(-self._clock_us // 1000)
        message = Message("", customer_id.encode(), None, erasure_headers())
        topic = self._scenario.settings.transactions_topic
        record = self._log.append(topic, partition, message, stamp_ms)
        self.produced.append(Produced(partition, record.offset, None, None, customer_id))
        self.erased_until[customer_id] = stamp_ms * 1000
        self._trace.add("privacy", "erases", f"{customer_id}: {topic}-{partition} {record.offset}")

    def _send_bad(self, now_us: int) -> None:
        sale = self._sale()
        value = self._random.choice(
            (
                None,
                b"?",
                b"\xff\xfe",
                sale.value[:-9],
                sale.value.replace(b'"amount"', b'"amounts"'),
                sale.value.replace(b'"kind"', b'"currency": "EUR", "kind"'),
                sale.value.replace(b"-", b"T", 1),
                Sale(self._id(), sale.customer_id, now_us + 2 * _HOUR_US, 100, False).value,
            )
        )
        self._append(self._random.randrange(self._scenario.partitions), value, None, now_us)

    def _append(self, partition: int, value: bytes | None, sale: Sale | None, now_us: int) -> None:
        topic = self._scenario.settings.transactions_topic
        key = sale.customer_id.encode() if sale else None
        record = self._log.append(topic, partition, Message(topic, key, value, []), now_us // 1000)
        self.produced.append(Produced(partition, record.offset, value, sale))
        self._trace.add(
            "producer", "wrote", f"{topic}-{partition} {record.offset}: {sale or value!r}"
        )


def jump_us(random: Random, scenario: Scenario) -> int:
    """How far the wall clock runs on before the next burst."""
    if scenario.live:
        return round(random.expovariate(1 / 12) * _DAY_US)
    return round(random.expovariate(1 / 2) * _DAY_US)
