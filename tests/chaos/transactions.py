"""What the producer of a row sends: transactions from a seed, and what is done to some of them.

Owns the plain facts of each record; the oracle counts from these and from where Kafka put them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random

from ops.oracle.transaction import Transaction

_FIRST_DAY = 19_700  # 2023-12-09: long past, so that partitions go by event time, never by the wall
_DAYS = 420  # of history whatever the count: silence has work to do
_DAY_US = 86_400_000_000
_REFUND_SHARE = 0.04
_REFUND_BACK_MAX = 150  # most refunds come on the day of the purchase, and cancel it
_POISON_SHARE = 0.01
_DUPLICATE_SHARE, _DUPLICATE_BACK_MAX = 0.10, 2_000
_SHUFFLED_SHARE, _SHUFFLED_BY_MAX = 0.20, 300
_LATE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to send; without a transaction it is none, and belongs among the dead letters."""

    key: bytes
    value: bytes
    transaction: Transaction | None


def outgoing(transaction: Transaction) -> Outgoing:
    """A good record."""
    return Outgoing(transaction.customer_id.encode(), transaction.value, transaction)


def transactions(seed: int, count: int, customers: int) -> list[Transaction]:
    """So many in time order; some customers buy often, some once, new ones come all the time."""
    random = Random(f"{seed}:transactions")
    step_us = _DAYS * _DAY_US / count
    found: list[Transaction] = []
    for number in range(count):
        occurred_us = _FIRST_DAY * _DAY_US + int((number + random.random()) * step_us)
        known = customers * (0.2 + 0.8 * number / count)
        customer_id = f"c{int(known * random.random() ** 1.5)}"
        units, is_refund = random.randrange(1, 20_000) * 100, False
        if found and random.random() < _REFUND_SHARE:
            back = found[-random.randrange(1, min(len(found), _REFUND_BACK_MAX) + 1)]
            if not back.is_refund:
                customer_id, units, is_refund = back.customer_id, back.units, True
        identity = f"{seed}-{number}"
        found.append(Transaction(identity, customer_id, occurred_us, units, is_refund))
    return found


def plain(seed: int, count: int, customers: int) -> list[Outgoing]:
    """Every transaction once, in time order."""
    return [outgoing(transaction) for transaction in transactions(seed, count, customers)]


def duplicated(seed: int, count: int, customers: int) -> list[Outgoing]:
    """One in ten is sent twice, the second time up to two thousand records later."""
    random = Random(f"{seed}:duplicated")
    once = plain(seed, count, customers)
    places = [(float(number), record) for number, record in enumerate(once)]
    places += [
        (number + random.uniform(0.1, _DUPLICATE_BACK_MAX), once[number])
        for number in random.sample(range(count), int(count * _DUPLICATE_SHARE))
    ]
    return _in_order(places)


def disordered(seed: int, count: int, customers: int) -> list[Outgoing]:
    """One in five changes places with near ones, one in twenty comes days to months late."""
    random = Random(f"{seed}:disordered")
    places = []
    for number, record in enumerate(plain(seed, count, customers)):
        fate, by = random.random(), 0.0
        if fate < _SHUFFLED_SHARE:
            by = random.uniform(-_SHUFFLED_BY_MAX, _SHUFFLED_BY_MAX)
        elif fate < _SHUFFLED_SHARE + _LATE_SHARE:
            by = random.uniform(0.01, 0.25) * count
        places.append((number + by, record))
    return _in_order(places)


def poisoned(seed: int, count: int, customers: int) -> list[Outgoing]:
    """For every hundred good records one that is none."""
    random = Random(f"{seed}:poisoned")
    places = [(float(n), record) for n, record in enumerate(plain(seed, count, customers))]
    for number in range(int(count * _POISON_SHARE)):
        victim = places[random.randrange(count)][1]
        value = malformed(random, number, victim.value)
        places.append((random.uniform(0, count), Outgoing(victim.key, value, None)))
    return _in_order(places)


def malformed(random: Random, number: int, good: bytes) -> bytes:
    """A record that no decoder may take; no two numbers give the same."""
    fields = json.loads(good) | {"poison": number}

    def without(name: str) -> bytes:
        return json.dumps({key: value for key, value in fields.items() if key != name}).encode()

    def having(**values: object) -> bytes:
        return json.dumps(fields | values).encode()

    ways = [
        f'{{"poison": {number}'.encode,
        f"poison {number}".encode,
        lambda: b"\xff\xfe" + good + str(number).encode(),
        lambda: without("transaction_id"),
        lambda: without("customer_id"),
        lambda: without("amount"),
        lambda: without("occurred_at"),
        lambda: having(amount="a lot"),
        lambda: having(amount=float("nan")),
        lambda: having(currency="XXX"),
        lambda: having(kind="gift"),
        lambda: having(occurred_at="2999-01-01T00:00:00+00:00"),
        lambda: having(occurred_at="yesterday"),
        lambda: having(customer_id="c" * 1_000),
        lambda: json.dumps([fields]).encode(),
    ]
    return random.choice(ways)()


def _in_order(places: list[tuple[float, Outgoing]]) -> list[Outgoing]:
    return [record for _, record in sorted(places, key=lambda place: place[0])]
