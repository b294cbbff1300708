"""What Redis and the topics hold against what the oracle says they must hold.

Owns the counting of differences and the words for them. Reads no server: it is handed evidence.
Imports nothing of production but what the evidence's bytes say by themselves.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.chaos.oracle_history import LIFECYCLES, Change, Customer, Partition, Read
from tests.chaos.oracle_model import Card, expected_purchases, moment_of, rfm

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A crossing is found by bisection here and by a closed form there: the last bits of floats differ.
_MOMENT_US_MAX = 1_000
_ALIVE_MAX = 1e-9
_EXPECTED_MAX = 1e-6  # relative, or of one purchase: here it is integrated numerically
_SAID_MAX = 40  # differences kept in words; all are counted


@dataclass(frozen=True)
class Told:
    """One record of the changes topic."""

    customer_id: str
    change_id: str
    change_type: str
    body: bytes


@dataclass(frozen=True)
class Letter:
    """One record of the dead-letter topic: what it was, and where it had stood."""

    partition: int
    offset: int
    value: bytes | None


@dataclass
class Evidence:
    """All that is left of a row when it is over.

    Attributes
    ----------
    log : records of the transactions topic, by partition, in order
    checkpoints : fields of `partition:<p>`, by partition
    customers : fields of `customer:<id>`, by id
    due : members of `due:<p>` and their scores, of all partitions
    told : the changes topic, each partition in order
    """

    card: dict[str, Any]
    log: Mapping[int, list[Read]]
    topic: str
    checkpoints: Mapping[int, Mapping[str, str]]
    customers: Mapping[str, Mapping[str, str]]
    due: Mapping[str, float]
    told: list[Told]
    letters: list[Letter]
    poison: Mapping[tuple[int, int], bytes] = field(default_factory=dict)


@dataclass
class Verdict:
    """What differs, counted and, as far as there is room, in words."""

    records: int = 0
    customers: int = 0
    changes: int = 0
    told_again: int = 0
    lost: int = 0
    double_counted: int = 0
    mismatches: int = 0
    gaps: int = 0
    two_bodies: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing differs."""
        return not any(
            (self.lost, self.double_counted, self.mismatches, self.gaps, self.two_bodies)
        )

    def note(self, kind: str, what: str, count: int = 1) -> None:
        """Count a difference of a kind, which is one of the fields."""
        setattr(self, kind, getattr(self, kind) + count)
        if len(self.said) < _SAID_MAX:
            self.said.append(f"{kind}: {what}")


def judge(evidence: Evidence) -> Verdict:
    """Walk through the log and compare all there is."""
    verdict, card = Verdict(), Card.of(evidence.card)
    expected: dict[str, Customer] = {}
    for number, records in evidence.log.items():
        partition = Partition(card).read(records)
        verdict.records += len(records)
        _compare_counters(number, partition, evidence, verdict)
        for customer_id in partition.customers.keys() & expected.keys():
            verdict.note("mismatches", f"{customer_id} has two homes")
        expected |= partition.customers
    verdict.customers = len(expected)
    for customer_id in sorted(evidence.customers.keys() - expected.keys()):
        verdict.note("mismatches", f"{customer_id} is in Redis, and nobody bought as them")
    told = _hear(evidence.told, verdict)
    for customer_id, customer in expected.items():
        fields = evidence.customers.get(customer_id)
        if fields is None:
            verdict.note("lost", f"{customer_id} is not in Redis")
        else:
            for what in _field_differences(card, customer, fields, evidence.topic):
                verdict.note("mismatches", f"{customer_id}: {what}")
            if (what := _due_difference(fields, evidence.due.get(customer_id))) is not None:
                verdict.note("mismatches", f"{customer_id}: {what}")
        _compare_changes(customer_id, customer, told.pop(customer_id, []), verdict)
    for customer_id in told:
        verdict.note("mismatches", f"changes were told of {customer_id}, who never bought")
    _compare_letters(evidence, verdict)
    return verdict


def _compare_counters(
    number: int, partition: Partition, evidence: Evidence, verdict: Verdict
) -> None:
    held = evidence.checkpoints.get(number, {})
    if partition.next_offset and not held:
        verdict.note("lost", f"partition {number} has no checkpoint", partition.applied)
        return
    excess = int(held.get("applied", 0)) - partition.applied
    if excess:
        kind = "double_counted" if excess > 0 else "lost"
        verdict.note(kind, f"partition {number}: {excess:+d} transactions", abs(excess))
    for name, expected in (
        (f"next_offset:{evidence.topic}", partition.next_offset),
        ("duplicates", partition.duplicates),
        ("dead", len(partition.dead)),
        ("customers", len(partition.customers)),
        ("forwarded", 0),
    ):
        if int(held.get(name, 0)) != expected:
            what = f"partition {number}: {name} is {held.get(name)}, not {expected}"
            verdict.note("mismatches", what)
    clock = partition.clock_us
    if clock is not None and micros(held.get("stream_time", "")) != clock:
        verdict.note("mismatches", f"partition {number}: stream_time {held.get('stream_time')}")


def _field_differences(
    card: Card, customer: Customer, fields: Mapping[str, str], topic: str
) -> Iterator[str]:
    habits, now = customer.habits, customer.as_of_us
    assert now is not None
    crossing = None
    if customer.border is not None and habits is not None:
        crossing = moment_of(card, habits, customer.border, now)
    border = None if crossing is None else customer.border

    def name(index: int | None) -> str:
        return "" if index is None else card.segments[index]

    def phase(index: int | None) -> str:
        return "" if index is None else LIFECYCLES[index]

    exact = {
        "frequency": str(0 if habits is None else habits.frequency),
        "t_x_days": str(0 if habits is None else habits.t_x_days),
        "monetary_total": money(customer.total("bought")),
        "refund_total": money(customer.total("returned")),
        "segment": name(customer.segment),
        "lifecycle": phase(customer.lifecycle),
        "next_segment": name(None if border is None else border.segment),
        "next_lifecycle": phase(None if border is None else border.lifecycle),
        "sequence": str(len(customer.changes)),
        "scorecard": card.version,
        "source": f"{topic}:{customer.offset}",
    }
    for field_name, expected in exact.items():
        if fields.get(field_name) != expected:
            yield f"{field_name} is {fields.get(field_name)!r}, not {expected!r}"
    moments = {
        "first_purchase_at": (customer.first_us, 0),
        "last_purchase_at": (customer.last_us, 0),
        "prob_alive_at": (customer.as_of_us, _MOMENT_US_MAX),
        "segment_since": (customer.segment_since_us, _MOMENT_US_MAX),
        "next_review_at": (crossing, _MOMENT_US_MAX),
    }
    for field_name, (moment, tolerance) in moments.items():
        if not _same_moment(micros(fields.get(field_name, "")), moment, tolerance):
            yield f"{field_name} is {fields.get(field_name)!r}, not {moment} µs"
    if habits is None:
        if fields.get("prob_alive") != "":
            yield f"prob_alive is {fields.get('prob_alive')!r}, though nothing is left to score"
        return
    assert customer.alive is not None
    wanted = expected_purchases(card, habits, now)
    numbers = {
        "monetary_value": (habits.monetary_value, 1e-9 * max(1.0, abs(habits.monetary_value))),
        "prob_alive": (customer.alive, _ALIVE_MAX),
        "expected_purchases_30d": (wanted, _EXPECTED_MAX * max(1.0, wanted)),
    }
    for field_name, (number, tolerance) in numbers.items():
        if not abs(float(fields.get(field_name) or "nan") - number) <= tolerance:
            yield f"{field_name} is {fields.get(field_name)!r}, not {number!r}"
    if fields.get("rfm") != rfm(card, habits, now):
        yield f"rfm is {fields.get('rfm')!r}, not {rfm(card, habits, now)!r}"


def _due_difference(fields: Mapping[str, str], score: float | None) -> str | None:
    """The due queue must hold what the hash says."""
    review = micros(fields.get("next_review_at", ""))
    wanted = float("inf") if review is None else review / 1e6
    if score is None or (score != wanted and not abs(score - wanted) < 1e-6):
        return f"due at {score}, not {wanted}"
    return None


def _hear(told: list[Told], verdict: Verdict) -> dict[str, list[tuple[Told, dict[str, Any]]]]:
    """The changes of each customer, each once, in the order in which they were first told."""
    bodies: dict[str, bytes] = {}
    found: dict[str, list[tuple[Told, dict[str, Any]]]] = {}
    for change in told:
        known = bodies.setdefault(change.change_id, change.body)
        if known != change.body:
            verdict.note("two_bodies", f"{change.customer_id}: {change.change_id}")
        elif known is not change.body:
            verdict.told_again += 1
        else:
            found.setdefault(change.customer_id, []).append((change, json.loads(change.body)))
    verdict.changes = len(bodies)
    return found


def _compare_changes(
    customer_id: str,
    customer: Customer,
    told: list[tuple[Told, dict[str, Any]]],
    verdict: Verdict,
) -> None:
    numbers = [body["sequence"] for _, body in told]
    missing = set(range(1, max([*numbers, len(customer.changes)], default=0) + 1)) - set(numbers)
    if missing:
        verdict.note("gaps", f"{customer_id}: no change {sorted(missing)[:5]}", len(missing))
    for number, count in Counter(numbers).items():
        if count > 1:
            verdict.note("mismatches", f"{customer_id}: {count} different changes are {number}")
    if numbers != sorted(numbers):
        verdict.note("mismatches", f"{customer_id}: first told out of order: {numbers[:20]}")
    for change, body in told:
        if not 0 < body["sequence"] <= len(customer.changes):
            verdict.note("mismatches", f"{customer_id}: nothing leads to change {body}")
            continue
        for what in _change_differences(customer.changes[body["sequence"] - 1], change, body):
            verdict.note("mismatches", f"{customer_id}, change {body['sequence']}: {what}")


def _change_differences(expected: Change, told: Told, body: Mapping[str, Any]) -> Iterator[str]:
    if told.change_type != f"everscore.{expected.kind}.changed.v1":
        yield f"type is {told.change_type}, not {expected.kind}"
    for name in ("previous", "current", "cause"):
        if body[name] != getattr(expected, name):
            yield f"{name} is {body[name]!r}, not {getattr(expected, name)!r}"
    if not _same_moment(micros(body["occurred_at"]), expected.occurred_us, _MOMENT_US_MAX):
        yield f"occurred_at is {body['occurred_at']}, not {expected.occurred_us} µs"
    if not abs(body["prob_alive"] - (expected.alive or 0.0)) <= _ALIVE_MAX:
        yield f"prob_alive is {body['prob_alive']}, not {expected.alive}"


def _compare_letters(evidence: Evidence, verdict: Verdict) -> None:
    """Each malformed record once at least, with its own bytes, and no other."""
    found: set[tuple[int, int]] = set()
    for letter in evidence.letters:
        place = letter.partition, letter.offset
        if place not in evidence.poison:
            verdict.note("mismatches", f"{place} is among the dead letters, and is not bad")
        elif evidence.poison[place] != letter.value:
            verdict.note("mismatches", f"the dead letter of {place} has other bytes")
        elif place in found:
            verdict.told_again += 1
        found.add(place)
    for place in sorted(evidence.poison.keys() - found):
        verdict.note("lost", f"{place} is bad, and not among the dead letters")


def _same_moment(found: int | None, expected: int | None, tolerance: int) -> bool:
    if found is None or expected is None:
        return found is expected
    return abs(found - expected) <= tolerance


def micros(text: str) -> int | None:
    """Microseconds since 1970 UTC of RFC 3339 text; None for none.

    >>> micros("1970-01-01T00:00:01.5Z")
    1500000
    """
    if not text:
        return None
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment - _EPOCH) // timedelta(microseconds=1)


def money(units: int) -> str:
    """Major units with four decimals.

    >>> money(1_234_500)
    '123.4500'
    """
    return f"{units // 10_000}.{units % 10_000:04d}"
