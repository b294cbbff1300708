"""What must hold when all faults are over and everything has come to rest."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from schemas.dead_letter import DeadLetter, original_headers
from schemas.erasure import tombstone_name
from scoring.states import UNKNOWN_US
from state.codec import parse_times
from state.outbox import unpack_messages
from state.store import Tombstone
from streams.homes import home_partition
from streams.tails import spelled_out
from tests.simulation.kafka import Record
from tests.simulation.oracle import expected_states
from tests.simulation.workload import Sale
from tests.simulation.world import World
from tests.support.purchases import Run

_SHOWN_MAX = 5  # of the same kind of violation


class Violation(AssertionError):
    """A promise is broken."""


def is_at_rest(world: World) -> bool:
    """Whether nothing is left to read, publish, sweep or score anew."""
    return not any(_left_to_do(world))


def left_to_do(world: World) -> list[str]:
    """What keeps the installation from being at rest."""
    return list(_left_to_do(world))


def _left_to_do(world: World) -> Iterator[str]:
    memory, settings = world.redis.primary.memory, world.scenario.settings
    current = memory._current
    for partition in range(world.scenario.partitions):
        checkpoint = memory.checkpoints.get(partition)
        for topic in settings.input_topics:
            counted = checkpoint.next_offsets.get(topic, 0) if checkpoint else 0
            end = world.log.records_end(topic, partition)
            if counted < end:
                yield f"{topic}-{partition} is counted to {counted} of {end}"
        yield from _unpublished(world, partition)
        if checkpoint is None or checkpoint.clock_us == UNKNOWN_US:
            continue
        until = checkpoint.clock_us / 1e6 - settings.lateness_seconds
        late = [name for name, at in memory.due_at.get(partition, {}).items() if at <= until]
        if late:
            yield f"partition {partition}: {late} are due"
        if current is not None and checkpoint.adoptions[-1][1] != current:
            yield f"partition {partition} is scored by {checkpoint.adoptions[-1][1]}, not {current}"
        for (home, name), fields in memory.hashes.items():
            if home == partition and fields["scorecard"].decode() != checkpoint.adoptions[-1][1]:
                yield f"{name} is scored by {fields['scorecard'].decode()}"


def _unpublished(world: World, partition: int) -> Iterator[str]:
    entries = world.redis.primary.memory.waiting(partition)
    if not entries:
        return
    if not world.scenario.rollbacks:
        yield f"outbox {partition} holds {len(entries)} entries"
        return
    # A rollback may have brought back what had been published and trimmed: the next trim takes it.
    told = {(topic, record.value) for topic in world.log.topics for record in world.log.all(topic)}
    for entry, packed in entries.items():
        if any(
            (message.topic, message.value) not in told
            for message in spelled_out(unpack_messages(packed))
        ):
            yield f"outbox {partition} holds entry {entry}, which was not published"


def check(world: World) -> None:
    """Compare everything with what must be.

    Raises
    ------
    Violation
        Names what is wrong, at most a few of each kind.
    """
    found = [
        *world.failures,
        *(trespass for server in world.redis.servers for trespass in server.memory.trespasses),
        *_few(_states(world)),
        *_few(_counters(world)),
        *_few(_dead_letters(world)),
        *_few(_detours(world)),
        *_few(_timers(world)),
        *_few(_changes(world)),
    ]
    if world.scenario.kind == "pure":
        found += _few(_undisturbed(world))
    if found:
        raise Violation("\n".join(found))


def _few(violations: Iterator[str]) -> list[str]:
    every = list(violations)
    more = len(every) - _SHOWN_MAX
    return every[:_SHOWN_MAX] + ([f"… and {more} more of this kind"] if more > 0 else [])


def _states(world: World) -> Iterator[str]:
    partitions = world.scenario.partitions
    expected = expected_states(_sales_that_count(world))
    hashes = world.redis.primary.memory.hashes
    homes = {(home_partition(name, partitions), name) for name in expected}
    for key in sorted(homes ^ set(hashes)):
        yield f"customer {key} is {'missing' if key in homes else 'one too many'}"
    for key in sorted(homes & set(hashes)):
        for field, wanted in vars(expected[key[1]]).items():
            text = hashes[key][field].decode()
            same = (
                math.isclose(float(text), wanted, rel_tol=1e-9, abs_tol=1e-9)
                if isinstance(wanted, float)
                else text == wanted
            )
            if not same:
                yield f"{field} of {key[1]} is {text}, not {wanted}"


def _sales_that_count(world: World) -> list[Sale]:
    """Those of nobody erased since: none of before is ahead of the time that an erasure names.

    But for purchases that came home by the other topic, and were met before the erasure though they
    occurred after it, and for silence that was noticed before it: the tombstone says until when.
    """
    scenario = world.scenario
    erased_until = dict(world.producers.erased_until)
    for customer_id, asked_us in erased_until.items():
        home = home_partition(customer_id, scenario.partitions)
        stones = world.redis.primary.memory.erased.get(home, {})
        stone = stones.get(tombstone_name(customer_id), Tombstone(asked_us, 0))
        clock_us = world.redis.primary.memory.checkpoints[home].clock_us
        latest_us = max(asked_us, clock_us) if scenario.detours or scenario.live else asked_us
        if not asked_us <= stone.until_us <= latest_us:
            raise Violation(f"{customer_id} is erased until {stone.until_us}, not {asked_us}")
        erased_until[customer_id] = stone.until_us
    sales = (produced.sale for produced in world.producers.produced)
    return [
        sale
        for sale in sales
        if sale and sale.at_us > erased_until.get(sale.customer_id, UNKNOWN_US)
    ]


def _counters(world: World) -> Iterator[str]:
    scenario, memory = world.scenario, world.redis.primary.memory
    settings, count = scenario.settings, scenario.partitions
    counters = ["dead", "forwarded", "customers"]
    if not scenario.erasures:  # else it depends on who was met when; their sum does not
        counters += ["applied", "duplicates"]
    expected = {partition: Counter[str]() for partition in range(count)}
    ids: set[tuple[str, str]] = set()
    for produced in world.producers.produced:
        sale = produced.sale
        if produced.erased:
            continue
        if sale is None:
            expected[produced.partition]["dead"] += 1
            continue
        home = home_partition(sale.customer_id, count)
        if home != produced.partition:
            expected[produced.partition]["forwarded"] += 1
        if (sale.customer_id, sale.transaction_id) not in ids:
            expected[home]["applied"] += 1
        ids.add((sale.customer_id, sale.transaction_id))
    for customer_id in {sale.customer_id for sale in _sales_that_count(world)}:
        expected[home_partition(customer_id, count)]["customers"] += 1
    for partition, wanted in expected.items():
        checkpoint = memory.checkpoints.get(partition)
        read = sum(len(world.log.topics[topic][partition]) for topic in settings.input_topics)
        read -= sum(
            1 for one in world.producers.produced if one.erased and one.partition == partition
        )
        wanted["duplicates"] = read - wanted["applied"] - wanted["dead"] - wanted["forwarded"]
        if checkpoint is not None:
            counted = checkpoint.applied + checkpoint.duplicates + checkpoint.erased
            if counted != wanted["applied"] + wanted["duplicates"]:
                yield f"partition {partition} has counted {counted} good records"
        for counter in counters:
            got = getattr(checkpoint, counter) if checkpoint else 0
            if got != wanted[counter]:
                yield f"{counter} of partition {partition} is {got}, not {wanted[counter]}"


def _dead_letters(world: World) -> Iterator[str]:
    settings = world.scenario.settings
    expected = {
        (produced.partition, produced.offset): produced.value
        for produced in world.producers.produced
        if produced.sale is None and not produced.erased
    }
    seen: set[tuple[int, int]] = set()
    for record in world.log.all(settings.dead_letter_topic):
        letter = DeadLetter.from_headers(record.headers)
        place = letter.partition, letter.offset
        seen.add(place)
        if place not in expected or letter.topic != settings.transactions_topic:
            yield f"{letter.topic}-{letter.partition} {letter.offset} was a good record"
        elif record.value != expected[place] or original_headers(record.headers):
            yield f"the dead letter of {place} is {record.value!r}"
    for place in sorted(expected.keys() - seen):
        yield f"the bad record at {place} has no dead letter"


def _detours(world: World) -> Iterator[str]:
    topic, count = world.scenario.settings.rekeyed_topic, world.scenario.partitions
    sent = {
        produced.value
        for produced in world.producers.produced
        if produced.sale and home_partition(produced.sale.customer_id, count) != produced.partition
    }
    arrived: set[bytes | None] = set()
    for partition, records in enumerate(world.log.topics[topic]):
        for record in records:
            arrived.add(record.value)
            if home_partition((record.key or b"").decode(), count) != partition:
                yield f"{record.key!r} was sent to partition {partition}"
    for value in sent ^ arrived:
        yield f"{value!r} {'was not sent home' if value in sent else 'was sent home'}"


def _timers(world: World) -> Iterator[str]:
    memory = world.redis.primary.memory
    for (partition, name), fields in sorted(memory.hashes.items()):
        text = fields["next_review_at"].decode()
        at = int(parse_times([text], 0)[0]) / 1e6 if text else math.inf
        due = memory.due_at[partition].get(name)
        if due != at:
            yield f"{name} is due at {due}, and says {at}"
    for partition, reviews in memory.due_at.items():
        for name in reviews:
            if (partition, name) not in memory.hashes:
                yield f"{name} is due, and unknown"


def _changes(world: World) -> Iterator[str]:
    strict = world.scenario.told_for_good
    by_customer = published(world)
    memory = world.redis.primary.memory
    known = {name: fields for (_, name), fields in memory.hashes.items()}
    stones = {name: stone for stones in memory.erased.values() for name, stone in stones.items()}
    for name, fields in sorted(known.items()):
        bodies = _bodies(by_customer.pop(name, []))
        yield from _told_once(name, bodies, int(fields["sequence"]), strict)
        yield from _last_agrees(name, fields, [some[0] for some in bodies.values()], strict)
    for name in world.producers.erased_until:
        stone = stones.pop(tombstone_name(name), None)
        if stone is None:
            yield f"{name} was erased, and there is no tombstone"
        elif name not in known:
            yield from _told_once(name, _bodies(by_customer.pop(name, [])), stone.sequence, strict)
    for name in by_customer:
        yield f"changes of {name}, who is unknown, were published"
    for name in stones:
        yield f"tombstone {name} is of nobody who was erased"


def _bodies(changes: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Different bodies of each change."""
    bodies: dict[str, list[dict[str, Any]]] = {}
    for change in changes:
        some = bodies.setdefault(change["id"], [])
        if change not in some:
            some.append(change)
    return bodies


def _told_once(
    name: str, bodies: dict[str, list[dict[str, Any]]], sequence: int, strict: bool
) -> Iterator[str]:
    for change_id, some in bodies.items():
        if strict and len(some) > 1:
            yield f"{name}: change {change_id} has two bodies: {_difference(some[0], some[1])}"
    numbers = sorted(some[0]["sequence"] for some in bodies.values())
    wanted = list(range(1, sequence + 1))
    if numbers != wanted if strict else not set(wanted) <= set(numbers):
        yield f"{name}: the state has sequence {sequence}, published are {numbers}"


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    names = [name for name in one | other if one.get(name) != other.get(name)]
    return "; ".join(f"{name} {one.get(name)!r} and {other.get(name)!r}" for name in names)


def _last_agrees(
    name: str, fields: dict[str, bytes], changes: list[dict[str, Any]], strict: bool
) -> Iterator[str]:
    """What the state says of segment and lifecycle is what was told last."""
    for kind in ("segment", "lifecycle"):
        told = sorted(
            (change for change in changes if kind in change["type"]),
            key=lambda change: change["sequence"],
        )
        says = fields[kind].decode() or None
        if not strict:
            if says is not None and says not in {change["current"] for change in told}:
                yield f"{name}: nobody was told of {kind} {says}"
            continue
        before = None
        for change in told:
            if change["previous"] != before:
                yield f"{name}: {kind} was {before}, then changed from {change['previous']}"
            before = change["current"]
        if says != before:
            yield f"{name}: {kind} is {says}, told was {before}"


def published(world: World) -> dict[str, list[dict[str, Any]]]:
    """Bodies of all published changes with their ids and types, by customer."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in world.log.all(world.scenario.settings.changes_topic):
        body = _change_of(record)
        found.setdefault(body["customer_id"], []).append(body)
    return found


def _change_of(record: Record) -> dict[str, Any]:
    headers = dict(record.headers)
    body: dict[str, Any] = json.loads(record.value or b"")
    return body | {"id": headers["ce_id"].decode(), "type": headers["ce_type"].decode()}


def _undisturbed(world: World) -> Iterator[str]:
    """Where history is a function of the log, compare with a run to which nothing happens."""
    scenario, settings = world.scenario, world.scenario.settings
    run = Run(scenario.partitions, settings)

    async def undisturbed() -> None:
        await run.start()
        for partition, records in enumerate(world.log.topics[settings.transactions_topic]):
            if records:
                await run.process(partition, records)
        await run.sweep()

    world.loop.run_until_complete(undisturbed())
    expected, hashes = run.hashes(), world.redis.primary.memory.hashes
    for (_, name), fields in sorted(hashes.items()):
        for field, value in fields.items():
            wanted = expected.get(name, {}).get(field)
            if value != wanted:
                yield f"{field} of {name} is {value!r}, undisturbed {wanted!r}"
    changes = {change["id"]: change for change in run.changes()}
    told = {change["id"]: change for them in published(world).values() for change in them}
    for change_id in sorted(changes.keys() | told.keys()):
        ours, theirs = told.get(change_id), changes.get(change_id)
        if ours is None or theirs is None:
            yield f"change {change_id} was {'not ' if ours is None else ''}told: {ours or theirs}"
        elif ours != theirs:
            yield f"change {change_id} differs from undisturbed: {_difference(ours, theirs)}"
