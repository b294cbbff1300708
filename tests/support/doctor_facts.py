"""A healthy installation as facts, to be made ill one fact at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ops.doctor.kafka_facts import (
    BrokerFacts,
    GroupFacts,
    KafkaFacts,
    LogFacts,
    MemberFacts,
    PartitionFacts,
    TopicFacts,
)
from ops.doctor.remedies import Remedies
from ops.stack.topics import declared_topics
from state.inspection import RedisFacts
from state.store import Checkpoint
from streams.settings import Settings

SETTINGS = Settings(kafka="broker:9092", redis="redis://store:6379/0", owner="here")
REMEDIES = Remedies(SETTINGS)
PARTITIONS = 4
FOUNDED = {"partitions": "4", "timezone": "UTC", "currency": "USD"}
ALL = frozenset({"READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"})
NOW_MS = 1_800_000_000_000


def topic(name: str, copies: int = 3, **changes: str | None) -> TopicFacts:
    """A declared topic on three brokers, with some settings changed (dots written as `_`)."""
    declared = next(one for one in declared_topics(SETTINGS, PARTITIONS) if one.name == name)
    settings: dict[str, str | None] = {
        "cleanup.policy": "delete",
        "retention.ms": "604800000",
        "max.message.bytes": "1048588",
        "message.timestamp.type": "CreateTime",
        "min.insync.replicas": "2",
        **declared.settings,
    }
    settings |= {key.replace("_", "."): value for key, value in changes.items()}
    partitions = (PartitionFacts(leader=1, replicas=copies, in_sync=copies),) * declared.partitions
    return TopicFacts(name, partitions=partitions, settings=settings, operations=ALL)


def kafka(*ill: TopicFacts, **changes: Any) -> KafkaFacts:
    """A healthy Kafka, with some topics and fields changed."""
    healthy = {one.name: topic(one.name) for one in declared_topics(SETTINGS, PARTITIONS)}
    facts = KafkaFacts(
        milliseconds=3.0,
        cluster_id="cluster",
        nodes=(1, 2, 3),
        asked_nodes=(1, 2, 3),
        brokers=tuple(BrokerFacts(node, {11: 9, 22: 5}, 30, 30) for node in (1, 2, 3)),
        settings={
            "group.min.session.timeout.ms": "6000",
            "group.max.session.timeout.ms": "1800000",
        },
        topics=healthy | {one.name: one for one in ill},
        logs={
            (name, number): LogFacts(0, 100, NOW_MS - 5_000)
            for name in SETTINGS.input_topics
            for number in range(PARTITIONS)
        },
        asked_ms=NOW_MS,
        group=GroupFacts(
            "Stable", (MemberFacts("h1", (0, 1)), MemberFacts("h2", (2, 3))), frozenset({"READ"})
        ),
    )
    return replace(facts, **changes)


def checkpoints(offset: int = 100) -> dict[int, Checkpoint]:
    """Both inputs of every partition counted up to an offset."""
    return {
        number: Checkpoint(
            epoch=1,
            owner=f"worker-{number // 2}",
            next_offsets=dict.fromkeys(SETTINGS.input_topics, offset),
        )
        for number in range(PARTITIONS)
    }


def redis(**changes: Any) -> RedisFacts:
    """A healthy Redis; fields of INFO and of the facts changed alike."""
    info = {
        "redis_version": "7.4.1",
        "maxmemory_policy": "noeviction",
        "used_memory": 100 << 20,
        "maxmemory": 1 << 30,
        "total_system_memory": 8 << 30,
        "aof_enabled": 1,
        "aof_last_write_status": "ok",
        "rdb_last_bgsave_status": "ok",
        "role": "master",
        "connected_slaves": 1,
        "cluster_enabled": 0,
    }
    fields = {name: changes.pop(name) for name in list(changes) if name in RedisFacts.__slots__}
    facts = RedisFacts(
        info=info | changes,
        ping_ms=0.2,
        ahead_seconds=0.0001,
        error_seconds=0.0005,
        config={"appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction"},
        user="worker",
    )
    return replace(facts, **fields)
