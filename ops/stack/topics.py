"""Our topics as they must be, and making them so.

Owns their partition counts and settings, for every way to bring up a broker. Never changes a topic
that exists: it says what differs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from ops.kafka_admin import OPEN, answering_node, open_admin, topic_settings
from schemas.errors import BrokerUnavailableError, ConfigurationError
from streams.settings import Settings

_VISIBLE_SECONDS_MAX = 15.0  # a broker on this machine takes 0.1 s to lead a new partition
_POLL_SECONDS = 0.05
# Around a record's value: its key, its headers and the batch. A dead letter adds our own headers.
_ROOM_BYTES = 65_536
# A dead letter carries its record's bytes uncompressed, and compressed they may have passed a
# smaller limit: the publisher's own bound, below which no record can be too large for this topic.
_DEAD_LETTER_BYTES_MAX = 64 * 1024 * 1024
_REPORTS_SEGMENT_BYTES = 16 * 1024 * 1024  # a hundred thousand reports; Kafka's own is 1 GB

PARTITIONS = "partitions"  # among a topic's settings by Kafka's names

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
class Difference:
    """One way in which a topic is not as it must be.

    Attributes
    ----------
    topic : str
    setting : str
        `partitions`, or one of Kafka's names.
    found, declared : str
        `found` is empty if Kafka does not tell.
    """

    topic: str
    setting: str
    found: str
    declared: str

    def __str__(self) -> str:
        if self.setting == PARTITIONS:
            return f"topic {self.topic!r} has {self.found} partitions, declared are {self.declared}"
        has = f"has {self.setting}={self.found}" if self.found else f"hides its {self.setting}"
        return f"topic {self.topic!r} {has}, declared is {self.declared}"


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
    # Whatever their records' timestamps and keys say, and whatever the broker does by default.
    for_ever = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    latest = {"cleanup.policy": "compact"}
    # What is being written is not compacted, and whoever begins to learn reads all of it.
    reports = {**latest, "segment.bytes": str(_REPORTS_SEGMENT_BYTES)}
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
        Topic(settings.samples_topic, 1, reports),
    )
    return tuple(replace(topic, replication=replication) for topic in topics)


def differences(
    topic: Topic, partitions: int, settings: Mapping[str, str | None]
) -> tuple[Difference, ...]:
    """How a topic that exists differs from one that is declared.

    Parameters
    ----------
    topic : Topic
        As it must be.
    partitions : int
    settings : mapping of str to str
        As Kafka tells them.

    Examples
    --------
    >>> [str(one) for one in differences(Topic("t", 2, {"retention.ms": "-1"}), 2, {})]
    ["topic 't' hides its retention.ms, declared is -1"]
    """
    found = {PARTITIONS: str(partitions), **settings}
    declared = {PARTITIONS: str(topic.partitions), **topic.settings}
    return tuple(
        Difference(topic.name, name, found.get(name) or "", value)
        for name, value in declared.items()
        if found.get(name) != value
    )


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
    async with open_admin(bootstrap, access) as admin:
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
        async with open_admin(bootstrap, access) as admin:
            created = await _create(admin, list(declared.values()))
            counts = await _partition_counts(admin, declared)
            existing = [topic for topic in declared.values() if topic.name not in created]
            node = await answering_node(admin)
            settings = await topic_settings(admin, node, [topic.name for topic in existing])
    except (KafkaError, OSError) as error:
        raise BrokerUnavailableError(
            f"Kafka at {bootstrap} did not say which topics it has: {error!r}"
        ) from error
    differing = tuple(
        str(one)
        for topic in existing
        for one in differences(topic, counts[topic.name], settings.get(topic.name, {}))
    )
    return TopicReport(tuple(created), differing)


async def _create(admin: AIOKafkaAdminClient, topics: list[Topic]) -> list[str]:
    wanted = [
        NewTopic(
            topic.name, topic.partitions, topic.replication, topic_configs=dict(topic.settings)
        )
        for topic in topics
    ]
    created = []
    refused: dict[str, str] = {}
    for name, code, *reason in (await admin.create_topics(wanted)).topic_errors:
        said = " ".join([for_code(code).__name__, *(str(part) for part in reason if part)])
        if code == 0:
            created.append(name)
        elif code == TopicAuthorizationFailedError.errno:
            refused[name] = said  # so it says of topics that are there, too
        elif code != TopicAlreadyExistsError.errno:
            raise ConfigurationError(f"Kafka refused to create topic {name!r}: {said}")
    for topic in await admin.describe_topics(list(refused)) if refused else []:
        if topic["error_code"] != 0:
            name = topic["topic"]
            raise ConfigurationError(f"Kafka refused to create topic {name!r}: {refused[name]}")
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
