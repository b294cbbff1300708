"""Kafka's admin client: one way to open it, and what brokers say of their settings.

Owns the client's life and limits. Creates and judges nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

_REQUEST_MS = 10_000
OPEN: Mapping[str, Any] = MappingProxyType({})  # no TLS, no name, no password


@asynccontextmanager
async def open_admin(
    bootstrap: str, access: Mapping[str, Any] = OPEN, *, request_ms: int = _REQUEST_MS
) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client that is closed again.

    Parameters
    ----------
    bootstrap : str
        `host:port,host:port`.
    access : mapping of str to Any
        Of `streams.connections.kafka_access`; nobody in particular without it.
    request_ms : int
        Longest wait for one answer.

    Raises
    ------
    KafkaError, OSError
        No broker answers.
    """
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, request_timeout_ms=request_ms, **access
    )
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def topic_settings(
    admin: AIOKafkaAdminClient, topics: Iterable[str]
) -> dict[str, dict[str, str | None]]:
    """Every setting of topics by topic and name, without topics that are not ours to read."""
    return await _settings(
        admin, [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    )


async def broker_settings(
    admin: AIOKafkaAdminClient, node: int, names: Iterable[str]
) -> dict[str, str | None]:
    """Some settings of one broker; those it may not tell are missing."""
    wanted = ConfigResource(ConfigResourceType.BROKER, str(node), dict.fromkeys(names))
    return (await _settings(admin, [wanted])).get(str(node), {})


async def _settings(
    admin: AIOKafkaAdminClient, resources: list[ConfigResource]
) -> dict[str, dict[str, str | None]]:
    answers = await admin.describe_configs(resources) if resources else []
    found: dict[str, dict[str, str | None]] = {}
    for answer in answers:
        for code, _reason, _kind, name, entries in answer.resources:
            if code == 0:
                found[name] = {entry[0]: entry[1] for entry in entries}
    return found
