"""Servers for one demo: in memory, on this machine or in containers; they end with it.

Owns their topics and the settings that fit them. What a person has named is not ours to start.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from ops.embedded.stack import EmbeddedStack
from ops.stack.at_hand import StackKind
from ops.stack.docker import DockerStack
from ops.stack.java import kafka_version
from ops.stack.local import LocalStack
from ops.stack.settings import StackSettings
from ops.stack.topics import declared_topics
from streams.access_settings import STRANGER
from streams.settings import Settings

PARTITIONS = 4
# The in-memory broker keeps 5 MB of a partition: with so many, every change of the demo is kept.
_CHANGES_PARTITIONS = 64
# It keeps a restarted worker waiting for the session timeout.
_EMBEDDED_SESSION_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class DemoServers:
    """Servers that run.

    Attributes
    ----------
    settings : Settings
        Of whoever is to use them.
    described : str
        What they are and where, for a person.
    """

    settings: Settings
    described: str


def start_servers(kind: StackKind, until: ExitStack, machine: StackSettings) -> DemoServers:
    """Start servers with the demo's topics.

    Parameters
    ----------
    kind : StackKind
    until : ExitStack
        Stops them.
    machine : StackSettings
        What of this machine they may use.

    Raises
    ------
    ConfigurationError
        Something is missing or does not start; nothing is left running.
    """
    if kind is StackKind.EMBEDDED:
        return _embedded(until)
    topics = declared_topics(Settings.model_construct(), PARTITIONS)
    servers: LocalStack | DockerStack
    if kind is StackKind.LOCAL:
        servers, place = LocalStack(topics=topics, machine=machine), "on this machine"
    else:
        servers, place = DockerStack(topics=topics, machine=machine), "in containers"
    until.enter_context(servers)
    return DemoServers(
        settings_for(servers.kafka, servers.redis),
        f"Apache Kafka {kafka_version()} at {servers.kafka}, Redis at {servers.redis}, {place}",
    )


def _embedded(until: ExitStack) -> DemoServers:
    topics = declared_topics(Settings.model_construct(), PARTITIONS)
    counts = {topic.name: topic.partitions for topic in topics}
    changes = Settings.model_fields["changes_topic"].default
    servers = until.enter_context(EmbeddedStack(counts | {changes: _CHANGES_PARTITIONS}))
    return DemoServers(
        settings_for(
            servers.kafka, servers.redis, session_timeout_seconds=_EMBEDDED_SESSION_SECONDS
        ),
        f"Trying out: librdkafka's in-memory broker at {servers.kafka}, Redis at {servers.redis}",
    )


def settings_for(kafka: str, redis: str, **more: Any) -> Settings:
    """Settings for servers that know no names and no certificates, whatever the environment says."""
    topics = {
        name: field.default
        for name, field in Settings.model_fields.items()
        if name.endswith("_topic")
    }
    return Settings(**STRANGER | topics | {"kafka": kafka, "redis": redis} | more)
