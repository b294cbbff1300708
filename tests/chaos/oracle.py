"""What Redis and the topics hold against what the oracle says they must hold.

Owns the counting of differences and the words for them. Reads no server: it is handed evidence.
Imports nothing of production but what the evidence's bytes say by themselves.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.oracle.fields import change_differences, field_differences, micros
from ops.oracle.history import Customer, Partition, Read
from ops.oracle.model import Card

_UNDECIDED_SHARE_MAX = 0.005  # of customers: in rows of late events two in five thousand
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
    card : the only scorecard, as its topic has it
    cards : scorecards by version, as Redis has them
    log : records of the transactions topic, by partition, in order
    checkpoints : fields of `partition:<p>`, by partition
    customers : fields of `customer:<id>`, by id
    due : members of `due:<p>` and their scores, of all partitions
    told : the changes topic, each partition in order
    """

    card: dict[str, Any]
    cards: Mapping[str, dict[str, Any]]
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
    """What differs, counted and, as far as there is room, in words.

    Attributes
    ----------
    undecided : int
        Customers whose changes were left to `everscore verify`; see `Customer.undecided`.
    """

    records: int = 0
    customers: int = 0
    changes: int = 0
    told_again: int = 0
    undecided: int = 0
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
    if evidence.cards != {card.version: evidence.card}:
        kept = ", ".join(evidence.cards) or "no scorecard"
        verdict.note("mismatches", f"Redis keeps {kept}, not {card.version} as it was published")
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
            for what in field_differences(card, customer, fields, evidence.topic):
                verdict.note("mismatches", f"{customer_id}: {what}")
            if (what := _due_difference(fields, evidence.due.get(customer_id))) is not None:
                verdict.note("mismatches", f"{customer_id}: {what}")
        sequence = len(customer.changes)
        if customer.undecided:
            verdict.undecided += 1
            sequence = int((fields or {}).get("sequence", 0))
        changes = told.pop(customer_id, [])
        _compare_numbers(customer_id, sequence, changes, verdict)
        if not customer.undecided:
            _compare_changes(customer_id, customer, changes, verdict)
    if verdict.undecided > _UNDECIDED_SHARE_MAX * len(expected) + 1:
        verdict.note("mismatches", f"{verdict.undecided} customers are undecided: too many")
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


def _compare_numbers(
    customer_id: str,
    sequence: int,
    told: list[tuple[Told, dict[str, Any]]],
    verdict: Verdict,
) -> None:
    """Every number up to the last once, and first told in order."""
    numbers = [body["sequence"] for _, body in told]
    missing = set(range(1, max([*numbers, sequence], default=0) + 1)) - set(numbers)
    if missing:
        verdict.note("gaps", f"{customer_id}: no change {sorted(missing)[:5]}", len(missing))
    for number, count in Counter(numbers).items():
        if count > 1:
            verdict.note("mismatches", f"{customer_id}: {count} different changes are {number}")
        if not 0 < number <= sequence:
            verdict.note("mismatches", f"{customer_id}: nothing leads to change {number}")
    if numbers != sorted(numbers):
        verdict.note("mismatches", f"{customer_id}: first told out of order: {numbers[:20]}")


def _compare_changes(
    customer_id: str,
    customer: Customer,
    told: list[tuple[Told, dict[str, Any]]],
    verdict: Verdict,
) -> None:
    for change, body in told:
        if not 0 < body["sequence"] <= len(customer.changes):
            continue  # said above
        for what in change_differences(
            customer.changes[body["sequence"] - 1], change.change_type, body
        ):
            verdict.note("mismatches", f"{customer_id}, change {body['sequence']}: {what}")


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
