"""Our topics as they must be, and making them so.

Owns their partition counts and settings, for every way to bring up a broker. Never changes a topic
that exists: it says what differs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas.errors import BrokerUnavailableError, ConfigurationError
from streams.settings import Settings

_REQUEST_MS = 10_000
_VISIBLE_SECONDS_MAX = 15.0  # a broker on this machine takes 0.1 s to lead a new partition
_POLL_SECONDS = 0.05
# Around a record's value: its key, its headers and the batch. A dead letter adds our own headers.
_ROOM_BYTES = 65_536
# A dead letter carries its record's bytes uncompressed, and compressed they may have passed a
# smaller limit: the publisher's own bound, below which no record can be too large for this topic.
_DEAD_LETTER_BYTES_MAX = 64 * 1024 * 1024

OPEN: Mapping[str, Any] = MappingProxyType({})  # no TLS, no name, no password

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it must be.

    Attributes
    ----------
    name : str
    partitions : int
        At least 1.
    settings : mapping of str to str
        By Kafka's names; what is not named stays the broker's business.
    replication : int
        Copies of each partition, when it is created.
    """

    name: str
    partitions: int
    settings: Mapping[str, str] = field(default_factory=dict)
    replication: int = 1


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What `ensure_topics` did and found.

    Attributes
    ----------
    created : tuple of str
        Names of topics that were not there.
    differing : tuple of str
        A sentence for each difference of a topic that was.
    """

    created: tuple[str, ...]
    differing: tuple[str, ...]


def declared_topics(settings: Settings, partitions: int, replication: int = 1) -> tuple[Topic, ...]:
    """Every topic of an installation.

    Parameters
    ----------
    settings : Settings
        Names, and the size of the largest record.
    partitions : int
        Of what is keyed by customer.
    replication : int
        Copies of each partition, where they are created.

    Returns
    -------
    tuple of Topic

    Examples
    --------
    >>> [topic.partitions for topic in declared_topics(Settings.model_construct(), 8)]
    [8, 8, 8, 8, 1, 1, 1]
    """
    for_ever = {"retention.ms": "-1"}  # whatever their records' timestamps say
    latest = {"cleanup.policy": "compact"}
    record = settings.record_bytes_max + _ROOM_BYTES
    purchases = {**for_ever, "max.message.bytes": str(record)}
    dead = {
        **for_ever,
        "max.message.bytes": str(max(record + _ROOM_BYTES, _DEAD_LETTER_BYTES_MAX)),
    }
    topics = (
        Topic(settings.transactions_topic, partitions, purchases),
        Topic(settings.rekeyed_topic, partitions, purchases),
        Topic(settings.changes_topic, partitions),
        Topic(settings.journal_topic, partitions, for_ever),
        Topic(settings.dead_letter_topic, 1, dead),
        Topic(settings.scorecards_topic, 1, latest),
        Topic(settings.samples_topic, 1, latest),
    )
    return tuple(replace(topic, replication=replication) for topic in topics)


def apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a loop of its own, whether or not a loop is running here."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()


async def cluster_id(bootstrap: str, access: Mapping[str, Any] = OPEN) -> str | None:
    """The id of the cluster that answers at an address.

    Raises
    ------
    KafkaError, OSError
        None does.
    """
    async with _admin(bootstrap, access) as admin:
        found = (await admin.describe_cluster())["cluster_id"]
    return None if found is None else str(found)


async def ensure_topics(
    bootstrap: str, topics: Iterable[Topic], access: Mapping[str, Any] = OPEN
) -> TopicReport:
    """Create the topics that are missing and compare those that are not.

    Parameters
    ----------
    bootstrap : str
        `host:port` of a broker.
    topics : iterable of Topic
    access : mapping of str to Any
        Of `streams.connections.kafka_access`; nobody in particular without it.

    Returns
    -------
    TopicReport

    Raises
    ------
    ConfigurationError
        The broker refuses a topic.
    BrokerUnavailableError
        It does not answer.
    """
    declared = {topic.name: topic for topic in topics}
    if not declared:
        return TopicReport((), ())
    try:
        async with _admin(bootstrap, access) as admin:
            created = await _create(admin, list(declared.values()))
            counts = await _partition_counts(admin, declared)
            existing = [topic for topic in declared.values() if topic.name not in created]
            differing = [line async for line in _differences(admin, existing, counts)]
    except (KafkaError, OSError) as error:
        raise BrokerUnavailableError(
            f"Kafka at {bootstrap} did not say which topics it has: {error!r}"
        ) from error
    return TopicReport(tuple(created), tuple(differing))


@asynccontextmanager
async def _admin(bootstrap: str, access: Mapping[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, request_timeout_ms=_REQUEST_MS, **access
    )
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, topics: list[Topic]) -> list[str]:
    wanted = [
        NewTopic(
            topic.name, topic.partitions, topic.replication, topic_configs=dict(topic.settings)
        )
        for topic in topics
    ]
    created = []
    for name, code, *reason in (await admin.create_topics(wanted)).topic_errors:
        if code == 0:
            created.append(name)
        elif code != TopicAlreadyExistsError.errno:
            raise ConfigurationError(
                f"Kafka refused to create topic {name!r}: {for_code(code).__name__} "
                f"{' '.join(str(part) for part in reason)}".rstrip()
            )
    return created


async def _partition_counts(
    admin: AIOKafkaAdminClient, topics: Mapping[str, Topic]
) -> dict[str, int]:
    """Partition counts, as soon as every partition has a leader."""
    async with asyncio.timeout(_VISIBLE_SECONDS_MAX):
        while True:
            found = await admin.describe_topics(list(topics))
            if all(
                topic["error_code"] == 0
                and all(partition["leader"] >= 0 for partition in topic["partitions"])
                for topic in found
            ):
                return {topic["topic"]: len(topic["partitions"]) for topic in found}
            await asyncio.sleep(_POLL_SECONDS)


async def _differences(
    admin: AIOKafkaAdminClient, topics: list[Topic], counts: Mapping[str, int]
) -> AsyncIterator[str]:
    actual = await _settings(admin, topics)
    for topic in topics:
        if counts[topic.name] != topic.partitions:
            yield (
                f"topic {topic.name!r} has {counts[topic.name]} partitions, "
                f"declared are {topic.partitions}"
            )
        for name, value in topic.settings.items():
            found = actual[topic.name].get(name)
            if found != value:
                yield f"topic {topic.name!r} has {name}={found}, declared is {value}"


async def _settings(
    admin: AIOKafkaAdminClient, topics: list[Topic]
) -> dict[str, dict[str, str | None]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
    answers = await admin.describe_configs(resources) if resources else []
    return {
        name: {entry[0]: entry[1] for entry in entries}
        for answer in answers
        for _code, _reason, _kind, name, entries in answer.resources
    }
