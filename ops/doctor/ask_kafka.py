"""Asking Kafka for its facts: one connection, a limit on every wait, nothing changed.

What a broker does not answer, or may not, is left open with the reason; only a Kafka that answers
nothing at all is an error.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, NodeNotReadyError
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.offset import OffsetRequest

from ops.doctor.ask_group import ask_group
from ops.doctor.kafka_facts import (
    BrokerFacts,
    KafkaFacts,
    LogFacts,
    PartitionFacts,
    PartitionId,
    TopicFacts,
)
from ops.doctor.kafka_wire import (
    features,
    metadata_question,
    newest_question,
    operations,
    refusal,
    versions_question,
)
from ops.doctor.knock import CONNECT_SECONDS_MAX, knock
from ops.kafka_admin import answering_node, ask, broker_settings, open_admin, topic_settings
from schemas.errors import BrokerUnavailableError
from streams.connections import kafka_access
from streams.settings import Settings

# Of each round of questions: there are three, after the knocking. All take 0.1 s on one machine.
ANSWER_SECONDS_MAX = 2.0
_REQUEST_MS = int(CONNECT_SECONDS_MAX * 1000)
_BROKERS_ASKED_MAX = 20  # of a cluster; more would tell no more

BROKER_SETTINGS = ("group.min.session.timeout.ms", "group.max.session.timeout.ms")

_GROUPS_TOPIC = "__consumer_offsets"
_EARLIEST, _END = -2, -1
_READ_ALL = 0  # of a transaction too that is not committed yet
T = TypeVar("T")


async def ask_kafka(settings: Settings, topics: Sequence[str]) -> KafkaFacts:
    """Everything Kafka tells of an installation.

    Parameters
    ----------
    settings : Settings
    topics : sequence of str
        Those of interest.

    Raises
    ------
    BrokerUnavailableError
        No broker answers.
    ConfigurationError
        Kafka does not let us in.
    """
    answered, silent = await knock(settings)
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        opening = open_admin(answered, kafka_access(settings), request_ms=_REQUEST_MS)
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                admin = await stack.enter_async_context(opening)
        except (TimeoutError, KafkaError, OSError) as error:
            raise BrokerUnavailableError(f"Kafka at {answered} went away: {error!r}.") from error
        return await _Interview(admin, settings, topics).run(time.monotonic() - began, silent)


class _Interview:
    """The questions of one connection, and why some were not answered."""

    def __init__(
        self, admin: AIOKafkaAdminClient, settings: Settings, topics: Sequence[str]
    ) -> None:
        self._admin = admin
        self._settings = settings
        self._topics = topics
        self._silent: dict[str, str] = {}

    async def run(self, seconds: float, silent_addresses: Mapping[str, str]) -> KafkaFacts:
        """Ask everything."""
        node = await self._answered("topics", answering_node(self._admin))
        metadata = None
        if node is not None:
            question = metadata_question([*self._topics, _GROUPS_TOPIC])
            metadata = await self._answered("topics", ask(self._admin, node, question))
        if node is None or metadata is None:
            raise BrokerUnavailableError(
                f"Kafka at {self._settings.kafka} does not describe its topics: "
                f"{self._silent['topics']}"
            )
        told = metadata.to_object()
        described = {topic["topic"]: topic for topic in told["topics"]}
        nodes = tuple(sorted(broker["node"] for broker in told["brokers"]))
        leaders = {
            (name, partition["partition"]): partition["leader"]
            for name in self._settings.input_topics
            for partition in described[name]["partitions"]
        }
        brokers, of_broker, of_topics, logs = await asyncio.gather(
            self._brokers(nodes[:_BROKERS_ASKED_MAX]),
            self._answered("settings", broker_settings(self._admin, node, BROKER_SETTINGS)),
            self._answered("topic_settings", topic_settings(self._admin, node, self._topics)),
            self._logs(leaders),
        )
        asked_ms = time.time_ns() // 1_000_000
        group = await self._answered(
            "group",
            ask_group(
                self._admin,
                self._settings,
                leaders,
                nodes,
                brokers,
                refusal(described[_GROUPS_TOPIC]),
            ),
        )
        return KafkaFacts(
            milliseconds=seconds * 1000,
            silent_addresses=silent_addresses,
            cluster_id=told["cluster_id"],
            nodes=nodes,
            asked_nodes=nodes[:_BROKERS_ASKED_MAX],
            brokers=brokers,
            settings=of_broker,
            topics={
                name: _topic(described[name], (of_topics or {}).get(name)) for name in self._topics
            },
            logs=logs,
            asked_ms=asked_ms,
            group=group,
            silent=self._silent,
        )

    async def _answered(self, name: str, answer: Awaitable[T]) -> T | None:
        """An answer, or None and the reason under its name."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await answer
        except TimeoutError:
            self._silent[name] = f"no answer within {ANSWER_SECONDS_MAX:g} s"
        except (KafkaError, OSError, NotImplementedError) as error:
            self._silent[name] = _reason(error)
        return None

    async def _brokers(self, nodes: Sequence[int]) -> tuple[BrokerFacts, ...]:
        asked = (self._answered("versions", self._broker(node)) for node in nodes)
        found = await asyncio.gather(*asked)
        return tuple(broker for broker in found if broker is not None)

    async def _broker(self, node: int) -> BrokerFacts:
        try:
            answer = await ask(self._admin, node, versions_question())
        except KafkaError:  # so old, or no Apache Kafka, that it tells no features
            answer = await ask(self._admin, node, ApiVersionRequest())
            return BrokerFacts(node, {key: high for key, _low, high in answer.api_versions})
        supported, in_use = features(answer)
        return BrokerFacts(
            node,
            {key: high for key, _low, high, _ in answer.apis},
            supported.get("metadata.version"),
            in_use.get("metadata.version"),
        )

    async def _logs(self, leaders: Mapping[PartitionId, int]) -> dict[PartitionId, LogFacts] | None:
        """Of the partitions whose leaders answer; None if none does."""
        led: dict[int, list[PartitionId]] = defaultdict(list)
        for where, leader in leaders.items():
            if leader >= 0:
                led[leader].append(where)
        asked = (self._answered("logs", self._logs_of(*one)) for one in led.items())
        answers = [part for part in await asyncio.gather(*asked) if part is not None]
        if led and not answers:
            return None
        return {where: log for part in answers for where, log in part.items()}

    async def _logs_of(
        self, leader: int, ours: Sequence[PartitionId]
    ) -> dict[PartitionId, LogFacts]:
        by_topic: dict[str, list[int]] = defaultdict(list)
        for topic, partition in ours:
            by_topic[topic].append(partition)
        earliest = await self._offsets(leader, by_topic, _EARLIEST)
        ends = await self._offsets(leader, by_topic, _END)
        newest: dict[PartitionId, int] = {}
        answer = await self._answered("newest", ask(self._admin, leader, newest_question(by_topic)))
        for topic, partitions, _ in answer.topics if answer is not None else ():
            for partition, code, timestamp, *_rest in partitions:
                if code == 0 and timestamp >= 0:
                    newest[topic, partition] = timestamp
        return {
            where: LogFacts(earliest[where], ends[where], newest.get(where))
            for where in ours
            if where in earliest and where in ends
        }

    async def _offsets(
        self, leader: int, by_topic: Mapping[str, Sequence[int]], at: int
    ) -> dict[PartitionId, int]:
        wanted = [(topic, [(p, at) for p in numbers]) for topic, numbers in by_topic.items()]
        answer = await ask(self._admin, leader, OffsetRequest(-1, _READ_ALL, wanted))
        return {
            (topic, partition): offset
            for topic, partitions in answer.topics
            for partition, code, _timestamp, offset in partitions
            if code == 0
        }


def _topic(described: Mapping[str, Any], settings: Mapping[str, str | None] | None) -> TopicFacts:
    return TopicFacts(
        name=described["topic"],
        refused=refusal(described),
        partitions=tuple(
            PartitionFacts(part["leader"], len(part["replicas"]), len(part["in_sync"]))
            for part in sorted(described["partitions"], key=lambda part: int(part["partition"]))
        ),
        settings=settings,
        operations=operations(described["operations"]),
    )


def _reason(error: Exception) -> str:
    if isinstance(error, IncompatibleBrokerVersion):
        return "this broker cannot be asked"
    if isinstance(error, NodeNotReadyError):
        return "no connection to it"
    return str(error)
