"""What purchases in time order must come to, for all who neither wait for silence nor for late events.

Plain Python, one customer after the other; shares no code with any contender. Written for what the
baselines promise: recency, frequency, money, P(alive), the nearest centroid and each change of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ops.bench.evidence import Told
from ops.bench.job import Job
from ops.bench.verdict import Verdict

_RELATIVE = 1e-9


@dataclass(frozen=True)
class ExpectedChange:
    """A change of segment and the purchase that caused it."""

    previous: str | None
    current: str
    alive: float
    partition: int
    offset: int


@dataclass
class Expected:
    """One customer in the end; days are ordinals, money in major units."""

    days: dict[int, float] = field(default_factory=dict)
    alive: float = 0.0
    segment: str | None = None
    changes: list[ExpectedChange] = field(default_factory=list)

    @property
    def frequency(self) -> int:
        """Purchase days but the first."""
        return len(self.days) - 1

    @property
    def t_x_days(self) -> int:
        """From the first purchase day to the last."""
        return max(self.days) - min(self.days)

    @property
    def monetary_value(self) -> float:
        """Mean of the day sums without the first day."""
        first = min(self.days)
        later = [spent for day, spent in self.days.items() if day != first]
        return math.fsum(later) / len(later) if later else 0.0


def expect(job: Job, card: Mapping[str, Any]) -> dict[str, Expected]:
    """Every customer of a job, by id.

    Parameters
    ----------
    card : mapping
        r, alpha_days, a, b, mean, scale, centroids, segments.
    """
    customers: dict[str, Expected] = {}
    places = zip(job.partitions.tolist(), job.offsets.tolist(), strict=True)
    rows = zip(job.customer_ids, job.purchases, places, strict=True)
    for customer_id, purchase, (partition, offset) in rows:
        customer = customers.setdefault(customer_id, Expected())
        day = purchase.occurred_at.toordinal()
        moment = purchase.occurred_at
        gone = (moment.hour * 3600 + moment.minute * 60 + moment.second) / 86_400
        customer.days[day] = customer.days.get(day, 0.0) + float(purchase.amount)
        customer.alive = _alive(card, customer.frequency, customer.t_x_days, gone)
        segment = _nearest(card, customer.alive, customer.frequency, customer.monetary_value)
        if segment != customer.segment:
            customer.changes.append(
                ExpectedChange(customer.segment, segment, customer.alive, partition, offset)
            )
            customer.segment = segment
    return customers


def _alive(card: Mapping[str, Any], x: int, t_x: int, silence: float) -> float:
    gone = card["a"] / (card["b"] + x)
    waited = (card["alpha_days"] + t_x + silence) / (card["alpha_days"] + t_x)
    return float(1 / (1 + gone * waited ** (card["r"] + x)))


def _nearest(card: Mapping[str, Any], alive: float, x: int, money: float) -> str:
    point = [
        (value - mean) / scale
        for value, mean, scale in zip(
            (alive, math.log(1 + x), math.log(1 + money)), card["mean"], card["scale"], strict=True
        )
    ]
    distances = [math.dist(point, centre) for centre in card["centroids"]]
    return str(card["segments"][distances.index(min(distances))])


def compare_hashes(
    expected: Mapping[str, Expected],
    hashes: Iterable[tuple[str, Mapping[str, str]]],
    verdict: Verdict,
) -> None:
    """Compare all customers' hashes."""
    found = 0
    for customer_id, fields in hashes:
        found += 1
        customer = expected.get(customer_id)
        if customer is None:
            verdict.note(f"{customer_id} is in Redis, and nobody bought as them")
            continue
        for what in _hash_differences(customer, fields):
            verdict.note(f"{customer_id}: {what}")
    _compare_count(found, expected, verdict)


def _compare_count(found: int, expected: Mapping[str, Expected], verdict: Verdict) -> None:
    verdict.customers += found
    if found != len(expected):
        verdict.note(f"{found:,} customers are in Redis, not {len(expected):,}")


def _hash_differences(customer: Expected, fields: Mapping[str, str]) -> Iterator[str]:
    for name, wanted in (
        ("frequency", str(customer.frequency)),
        ("t_x_days", str(customer.t_x_days)),
        ("segment", customer.segment),
    ):
        if fields.get(name) != wanted:
            yield f"{name} is {fields.get(name)!r}, not {wanted!r}"
    for name, number in (
        ("monetary_value", customer.monetary_value),
        ("prob_alive", customer.alive),
    ):
        if not is_close(float(fields.get(name) or "nan"), number):
            yield f"{name} is {fields.get(name)!r}, not {number!r}"


def compare_packed(
    expected: Mapping[str, Expected],
    packed: Iterable[tuple[str, tuple[int, int, int, float]]],
    verdict: Verdict,
) -> None:
    """Compare first day, last day, repeat purchase days and money after the first day."""
    found = 0
    for customer_id, (first, last, frequency, money) in packed:
        found += 1
        customer = expected.get(customer_id)
        if customer is None:
            verdict.note(f"{customer_id} is in Redis, and nobody bought as them")
            continue
        wanted = customer.t_x_days, customer.frequency
        if (last - first, frequency) != wanted:
            verdict.note(
                f"{customer_id}: (t_x, frequency) is {last - first, frequency}, not {wanted}"
            )
        if not is_close(money, customer.monetary_value * customer.frequency):
            verdict.note(f"{customer_id}: {money} was spent after the first day, it says")
    _compare_count(found, expected, verdict)


def compare_changes(
    expected: Mapping[str, Expected], told: Iterable[Told], verdict: Verdict
) -> None:
    """Compare all changes, each customer's in order, none twice."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in told:
        found.setdefault(record.customer_id, []).append(msgspec.json.decode(record.body))
        verdict.changes += 1
    for customer_id in found.keys() - expected.keys():
        verdict.note(f"changes were told of {customer_id}, who never bought")
    for customer_id, customer in expected.items():
        bodies = found.get(customer_id, [])
        if len(bodies) != len(customer.changes):
            verdict.note(f"{customer_id}: {len(bodies)} changes, not {len(customer.changes)}")
            continue
        for body, change in zip(bodies, customer.changes, strict=True):
            for name, wanted in (
                ("customer_id", customer_id),
                ("previous", change.previous),
                ("current", change.current),
                ("source", {"partition": change.partition, "offset": change.offset}),
            ):
                if body[name] != wanted:
                    verdict.note(f"{customer_id}: {name} is {body[name]!r}, not {wanted!r}")
            if not is_close(body["prob_alive"], change.alive):
                verdict.note(f"{customer_id}: prob_alive {body['prob_alive']}, not {change.alive}")


def is_close(found: float, wanted: float) -> bool:
    """Whether two numbers differ in the last digits only."""
    return abs(found - wanted) <= _RELATIVE * max(1.0, abs(wanted))
