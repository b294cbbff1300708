"""All checks of an installation: facts are asked for first, and judged when they are there.

Owns the order and the time it may take. Redis is asked before Kafka: a worker that goes on in the
meantime then moves the log's end beyond its position, never its position beyond the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ops.doctor.ask_kafka import ask_kafka
from ops.doctor.brokers import check_answers, check_brokers, check_session, check_version
from ops.doctor.clocks import check_records_clock, check_redis_clock
from ops.doctor.finding import Finding, Mend, Verdict
from ops.doctor.installation import (
    check_installation,
    check_partitions,
    unreadable_installation,
)
from ops.doctor.kafka_facts import KafkaFacts
from ops.doctor.overrides import check_overrides
from ops.doctor.permissions import (
    check_kafka_permissions,
    check_redis_permissions,
    needed_commands,
    needed_topics,
)
from ops.doctor.progress import Checkpoints, check_lag, check_positions, check_workers
from ops.doctor.redis_server import check_redis
from ops.doctor.remedies import Remedies
from ops.doctor.software import (
    check_compiled,
    check_compression,
    check_libraries,
    installed,
    not_compiled,
)
from ops.doctor.topics import TOPIC_FIELDS, check_topics
from ops.security.roles import Role
from schemas.errors import PipelineError, StoreUnavailableError
from state.inspection import RedisFacts
from state.redis_store import RedisStore
from streams.connections import redis_store
from streams.settings import Settings

REDIS_SECONDS_MAX = 3.0  # 0.02 s on one machine


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """Redis, and what the installation keeps in it.

    Attributes
    ----------
    server : RedisFacts
    installation : mapping of str to str
        What was fixed when it was founded; empty before.
    checkpoints : mapping of int to Checkpoint
    unreadable : str
        Why neither could be read; empty if they could.
    """

    server: RedisFacts
    installation: Mapping[str, str] = field(default_factory=dict)
    checkpoints: Checkpoints = field(default_factory=dict)
    unreadable: str = ""


async def examine(settings: Settings, role: Role) -> list[Finding]:
    """Everything that can be said of an installation.

    Parameters
    ----------
    settings : Settings
    role : Role
        Whose permissions are looked at. Who has nothing to do with Redis does not ask it.

    Returns
    -------
    list of Finding
        Section by section. A server that is away is one finding, and what could not be looked at
        without it is left out.
    """
    store: StoreFacts | PipelineError | None = None
    if needed_commands(role):
        store = await _ask_store(settings, role)
    kafka = await _ask_kafka(settings)
    return [*_judged(settings, role, kafka, store)]


async def _ask_kafka(settings: Settings) -> KafkaFacts | PipelineError:
    try:
        return await ask_kafka(settings, [getattr(settings, name) for name in TOPIC_FIELDS])
    except PipelineError as error:
        return error


async def _ask_store(settings: Settings, role: Role) -> StoreFacts | PipelineError:
    try:
        async with asyncio.timeout(REDIS_SECONDS_MAX):
            store = redis_store(settings)
            try:
                return await _store_facts(store, role)
            finally:
                await store.close()
    except TimeoutError:
        return StoreUnavailableError(
            f"Redis at {settings.redis} did not answer within {REDIS_SECONDS_MAX:g} s."
        )
    except PipelineError as error:
        return error


async def _store_facts(store: RedisStore, role: Role) -> StoreFacts:
    server = await store.inspect(needed_commands(role))
    try:
        installation = await store.installation()
        partitions = range(int(installation.get("partitions", 0)))
        checkpoints = {number: await store.checkpoint(number) for number in partitions}
    except StoreUnavailableError:
        raise
    except Exception as error:  # forbidden, somebody else's key, a value that is none of ours …
        return StoreFacts(server, unreadable=str(error))
    return StoreFacts(server, installation, checkpoints)


def _judged(
    settings: Settings,
    role: Role,
    kafka: KafkaFacts | PipelineError,
    store: StoreFacts | PipelineError | None,
) -> Iterator[Finding]:
    remedies = Remedies(settings)
    there = store if isinstance(store, StoreFacts) else None
    installation = there.installation if there is not None else {}
    if isinstance(kafka, PipelineError):
        yield _away("kafka.answers", kafka)
    else:
        yield from _judged_kafka(settings, role, kafka, installation, remedies)
    if isinstance(store, PipelineError):
        yield _away("redis.answers", store)
    if there is not None:
        yield from check_redis(there.server, settings, remedies)
    if there is not None and there.unreadable:
        yield unreadable_installation(settings, there.unreadable)
    elif there is not None:
        group = None if isinstance(kafka, PipelineError) else kafka.group
        yield check_installation(settings, installation, group)
        if not isinstance(kafka, PipelineError):
            yield from _judged_together(settings, kafka, there, remedies)
    wished = check_overrides(settings)
    if wished is not None:
        yield wished
    yield from _judged_clocks(settings, role, kafka, there)
    yield from _judged_permissions(settings, role, kafka, there, remedies)
    yield check_libraries(installed())
    yield check_compiled(not_compiled())
    compression = check_compression(settings)
    if compression is not None:
        yield compression


def _away(name: str, error: PipelineError) -> Finding:
    hint = error.hint or ""
    found = str(error).removesuffix(hint).strip()
    mends = (Mend(hint),) if hint else ()
    if error.retriable and not hint:
        mends = (Mend("Is it running, and is the address right? Nothing of it could be checked."),)
    return Finding(name, Verdict.FAIL, found, mends, unreachable=error.retriable)


def _judged_kafka(
    settings: Settings,
    role: Role,
    kafka: KafkaFacts,
    installation: Mapping[str, str],
    remedies: Remedies,
) -> Iterator[Finding]:
    yield check_answers(kafka, settings)
    yield check_version(kafka, remedies)
    yield check_brokers(kafka)
    if role is Role.WORKER:
        yield check_session(kafka, settings)
    ours = needed_topics(role, settings)
    kinds = [
        kind
        for name, kind in TOPIC_FIELDS.items()
        if role in {Role.WORKER, Role.SUPPORT} or getattr(settings, name) in ours
    ]
    yield from check_topics(kafka, settings, installation, remedies, kinds)


def _judged_together(
    settings: Settings, kafka: KafkaFacts, store: StoreFacts, remedies: Remedies
) -> Iterator[Finding]:
    yield check_partitions(kafka, settings, store.installation, remedies)
    founded = bool(store.installation)
    if founded:
        yield check_positions(kafka, settings, store.checkpoints)
        yield check_lag(kafka, settings, store.checkpoints)
    yield check_workers(kafka, store.checkpoints, founded=founded)


def _judged_clocks(
    settings: Settings, role: Role, kafka: KafkaFacts | PipelineError, store: StoreFacts | None
) -> Iterator[Finding]:
    reads_inputs = not set(settings.input_topics).isdisjoint(needed_topics(role, settings))
    if store is not None:
        yield check_redis_clock(store.server, settings)
    if not isinstance(kafka, PipelineError) and reads_inputs:
        stamped_by = {
            name: (topic.settings or {}).get("message.timestamp.type") or ""
            for name, topic in kafka.topics.items()
        }
        yield check_records_clock(kafka, stamped_by)


def _judged_permissions(
    settings: Settings,
    role: Role,
    kafka: KafkaFacts | PipelineError,
    store: StoreFacts | None,
    remedies: Remedies,
) -> Iterator[Finding]:
    if not isinstance(kafka, PipelineError):
        yield check_kafka_permissions(kafka, settings, role, remedies)
    if store is not None:
        yield check_redis_permissions(store.server, settings, role, remedies)
