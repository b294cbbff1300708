"""What purchases in time order must come to for Everscore, silence and lifecycle included.

The walk and the arithmetic are `ops.oracle`'s. Copies of a customer have one history between them: it
is walked through once, one copy is compared with it field by field, and the others must be that copy's
equals but for their names and places. Only for logs in time order, by event time, under one scorecard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from ops.bench.evidence import Told
from ops.bench.job import PARTITIONS, Job
from ops.bench.verdict import Verdict
from ops.oracle.fields import change_differences, field_differences
from ops.oracle.history import Customer, Partition, Read
from ops.oracle.model import Card
from ops.oracle.transaction import Transaction
from schemas.transaction import EPOCH, UNITS_PER_MAJOR

_UNDECIDED_SHARE_MAX = 0.005
_MICROSECOND = timedelta(microseconds=1)
# What copies of a customer do not share.
_NAMES_AND_PLACES = ("customer_id", "source")


@dataclass(frozen=True)
class Expected:
    """One customer.

    Attributes
    ----------
    twins : hashable
        Equal for customers of one history.
    offset : int
        Of the last purchase.
    """

    twins: tuple[Any, ...]
    customer: Customer
    offset: int


@dataclass(frozen=True)
class Histories:
    """Every customer of a job, and who stands at each place of the log."""

    card: Card
    customers: dict[str, Expected]
    owners: dict[tuple[int, int], str]


def expect_histories(job: Job, card: Mapping[str, Any]) -> Histories:
    """Walk through a job.

    Parameters
    ----------
    card : mapping
        A scorecard's JSON.
    """
    numbers = Card.of(dict(card))
    clocks = [0] * PARTITIONS
    purchases: dict[str, list[Read]] = {}
    homes: dict[str, int] = {}
    owners: dict[tuple[int, int], str] = {}
    moments: dict[datetime, int] = {}
    places = zip(job.partitions.tolist(), job.offsets.tolist(), strict=True)
    for customer_id, purchase, (partition, offset) in zip(
        job.customer_ids, job.purchases, places, strict=True
    ):
        moment = purchase.occurred_at
        moment_us = moments.setdefault(moment, (moment - EPOCH) // _MICROSECOND)
        units = int(purchase.amount * UNITS_PER_MAJOR)
        read = Transaction(purchase.transaction_id, customer_id, moment_us, units, is_refund=False)
        purchases.setdefault(customer_id, []).append(Read(offset, read))
        homes[customer_id] = partition
        owners[partition, offset] = customer_id
        clocks[partition] = max(clocks[partition], moment_us)
    walked: dict[tuple[Any, ...], Customer] = {}
    customers = {}
    for customer_id, reads in purchases.items():
        clock = clocks[homes[customer_id]]
        facts = [(r.transaction.occurred_us, r.transaction.units) for r in reads if r.transaction]
        twins = (clock, tuple(facts))
        if twins not in walked:
            partition_of_one = Partition(numbers).read(reads)
            partition_of_one.clock_us = clock
            walked[twins] = partition_of_one.read(()).customers[customer_id]
        customers[customer_id] = Expected(twins, walked[twins], reads[-1].offset)
    return Histories(numbers, customers, owners)


def compare_customers(
    expected: Histories,
    hashes: Iterable[tuple[str, Mapping[str, str]]],
    topic: str,
    verdict: Verdict,
) -> None:
    """Compare all customers' hashes."""
    checked: dict[tuple[Any, ...], dict[str, str]] = {}
    found = 0
    for customer_id, fields in hashes:
        found += 1
        wanted = expected.customers.get(customer_id)
        if wanted is None:
            verdict.note(f"{customer_id} is in Redis, and nobody bought as them")
            continue
        if fields.get("source") != f"{topic}:{wanted.offset}":
            verdict.note(f"{customer_id}: source is {fields.get('source')}, not {wanted.offset}")
        same = _without_names(fields)
        if checked.get(wanted.twins) == same:
            continue
        customer = replace(wanted.customer, offset=wanted.offset)
        differences = list(field_differences(expected.card, customer, fields, topic))
        for what in differences:
            verdict.note(f"{customer_id}: {what}")
        if not differences:
            checked.setdefault(wanted.twins, same)
    verdict.customers += found
    if found != len(expected.customers):
        verdict.note(f"{found:,} customers are in Redis, not {len(expected.customers):,}")


def compare_histories(expected: Histories, told: Iterable[Told], verdict: Verdict) -> None:
    """Compare all changes: each customer's in order, none twice, none with the id of another."""
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    ids = set()
    for record in told:
        verdict.changes += 1
        if record.change_id in ids:
            verdict.note(f"{record.customer_id}: change {record.change_id} was told twice")
        ids.add(record.change_id)
        body = msgspec.json.decode(record.body)
        found.setdefault(record.customer_id, []).append((record.kind, body))
    for customer_id in found.keys() - expected.customers.keys():
        verdict.note(f"changes were told of {customer_id}, who never bought")
    checked: dict[tuple[Any, ...], list[tuple[str, dict[str, Any]]]] = {}
    undecided = 0
    for customer_id, wanted in expected.customers.items():
        changes = found.get(customer_id, [])
        for what in _misplaced(expected, customer_id, changes):
            verdict.note(f"{customer_id}: {what}")
        if wanted.customer.undecided:
            undecided += 1
            continue
        same = [(kind, _without_names(body)) for kind, body in changes]
        if checked.get(wanted.twins) == same:
            continue
        differences = list(_history_differences(wanted.customer, changes))
        for what in differences:
            verdict.note(f"{customer_id}: {what}")
        if not differences:
            checked.setdefault(wanted.twins, same)
    if undecided > _UNDECIDED_SHARE_MAX * len(expected.customers) + 1:
        verdict.note(f"{undecided} customers are undecided: too many")


def compare_counters(job: Job, counters: Iterable[Mapping[str, str]], verdict: Verdict) -> None:
    """Compare the sums of all partitions' counters."""
    sums: dict[str, int] = {}
    for fields in counters:
        for name in ("applied", "duplicates", "dead", "forwarded", "customers"):
            sums[name] = sums.get(name, 0) + int(fields.get(name, 0))
    wanted = {"applied": len(job), "customers": len(set(job.customer_ids))}
    for name, count in sums.items():
        if count != wanted.get(name, 0):
            verdict.note(f"{name} is {count:,}, not {wanted.get(name, 0):,}")


def _without_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in _NAMES_AND_PLACES}


def _misplaced(
    expected: Histories, customer_id: str, changes: Iterable[tuple[str, dict[str, Any]]]
) -> Iterable[str]:
    """A change that a purchase caused names the purchase: one of this customer's."""
    for _, body in changes:
        if body["customer_id"] != customer_id:
            yield f"a change of {body['customer_id']} has this key"
        source = body["source"]
        owner = expected.owners.get((source["partition"], source["offset"]))
        if body["cause"] == "transaction" and owner != customer_id:
            yield f"change {body['sequence']} names a purchase of {owner}"


def _history_differences(
    customer: Customer, changes: list[tuple[str, dict[str, Any]]]
) -> Iterable[str]:
    numbers = [body["sequence"] for _, body in changes]
    if numbers != list(range(1, len(customer.changes) + 1)):
        yield f"changes {numbers[:20]} were told, not 1 to {len(customer.changes)}"
        return
    for (kind, body), wanted in zip(changes, customer.changes, strict=True):
        change_type = f"everscore.{kind}.changed.v1"
        for what in change_differences(wanted, change_type, body):
            yield f"change {wanted.sequence}: {what}"
