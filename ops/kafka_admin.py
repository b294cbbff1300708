"""Kafka's admin client: one way to open it, and what brokers say of their settings.

Owns the client's life and limits. Creates and judges nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResourceType
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import DescribeConfigsRequest

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


async def answering_node(admin: AIOKafkaAdminClient) -> int:
    """A broker that answers; the client itself asks any, one that has just died among them.

    Raises
    ------
    KafkaConnectionError
        None does.
    """
    for broker in admin._client.cluster.brokers():
        if await admin._client.ready(broker.nodeId):
            return int(broker.nodeId)
    raise KafkaConnectionError("no broker answers any more")


async def ask(admin: AIOKafkaAdminClient, node: int, request: Any) -> Any:
    """One broker's answer to a request.

    Raises
    ------
    KafkaError
        The broker does not speak the request's version, or gives no answer.
    """
    return await admin._client.send(node, request)


async def topic_settings(
    admin: AIOKafkaAdminClient, node: int, topics: Iterable[str]
) -> dict[str, dict[str, str | None]]:
    """Every setting of topics by topic and name, without topics that are not ours to read."""
    return await _settings(admin, node, [(ConfigResourceType.TOPIC, name, None) for name in topics])


async def broker_settings(
    admin: AIOKafkaAdminClient, node: int, names: Iterable[str]
) -> dict[str, str | None]:
    """Some settings of one broker; those it may not tell are missing."""
    wanted = (ConfigResourceType.BROKER, str(node), list(names))
    return (await _settings(admin, node, [wanted])).get(str(node), {})


async def _settings(
    admin: AIOKafkaAdminClient,
    node: int,
    resources: list[tuple[ConfigResourceType, str, list[str] | None]],
) -> dict[str, dict[str, str | None]]:
    if not resources:
        return {}
    answer = await ask(admin, node, DescribeConfigsRequest(resources, False))
    return {
        name: {entry[0]: entry[1] for entry in entries}
        for code, _reason, _kind, name, entries in answer.resources
        if code == 0
    }
