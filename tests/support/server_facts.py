"""What servers say of themselves: their versions, and the shortest session Kafka grants."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import redis
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response, ResponseHeader_v0
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

from ops.stack.topics import apart
from schemas.errors import BrokerUnavailableError, StoreUnavailableError
from streams.connections import kafka_access
from streams.settings import Settings
from tests.support.access import open_redis

# Kafka's `MetadataVersion`: the first feature level of each release. A broker names no version.
RELEASES = {22: "4.0", 26: "4.1", 28: "4.2", 30: "4.3"}
_LEVEL = "metadata.version"
_SESSION = "group.min.session.timeout.ms"
_SESSION_MS = "6000"  # Kafka's default, where we may not ask
_REQUEST_MS = 5_000
_SUPPORTED_FEATURES = 0  # number of the tagged field
_FEATURES = CompactArray(
    ("name", CompactString("utf-8")), ("first", Int16), ("last", Int16), ("tags", TaggedFields)
)


class _Versions(Response):  # type: ignore[misc]
    API_KEY = 18
    API_VERSION = 3
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "apis",
            CompactArray(("key", Int16), ("first", Int16), ("last", Int16), ("tags", TaggedFields)),
        ),
        ("throttle_time_ms", Int32),
        ("tags", TaggedFields),
    )


class _VersionsRequest(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 18
    API_VERSION = 3
    RESPONSE_TYPE = _Versions
    SCHEMA = Schema(
        ("name", CompactString("utf-8")),
        ("version", CompactString("utf-8")),
        ("tags", TaggedFields),
    )

    def parse_response_header(self, read_buffer: Any) -> ResponseHeader_v0:
        return ResponseHeader_v0.decode(read_buffer)  # of this one request: brokers may be older


class _AskVersions(Request[_VersionsRequest]):  # type: ignore[misc]
    API_KEY = 18
    ALLOW_UNKNOWN_API_VERSION = True

    def build(self, request_struct_class: type[_VersionsRequest]) -> _VersionsRequest:
        return request_struct_class("everscore-tests", "0", {})


def release_of(level: int) -> str:
    """Release of Kafka by the newest metadata version it supports.

    Examples
    --------
    >>> [release_of(level) for level in (21, 27, 30, 99)]
    ['before 4.0', '4.1', '4.3', '4.3 or later']
    """
    if level > max(RELEASES):
        return f"{RELEASES[max(RELEASES)]} or later"
    return next(
        (RELEASES[known] for known in sorted(RELEASES)[::-1] if known <= level), "before 4.0"
    )


async def _kafka_facts(settings: Settings) -> tuple[str, float]:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=settings.kafka, request_timeout_ms=_REQUEST_MS, **kafka_access(settings)
    )
    try:
        await admin.start()
        node = admin._client.get_random_node()
        said = await admin._client.send(node, _AskVersions())
        features = _FEATURES.decode(BytesIO(said.tags.get(_SUPPORTED_FEATURES, b"\x01")))
        levels = {name: last for name, _, last, _ in features}
        broker = (await admin.describe_cluster())["brokers"][0]["node_id"]
        asked = ConfigResource(ConfigResourceType.BROKER, str(broker))
        answers = await admin.describe_configs([asked])
        settings = {
            entry[0]: entry[1]
            for answer in answers
            for *_, entries in answer.resources
            for entry in entries
        }
    except (KafkaError, OSError) as error:
        raise BrokerUnavailableError(
            f"Kafka at {settings.kafka} does not answer: {error!r}"
        ) from error
    finally:
        await admin.close()
    release = release_of(levels[_LEVEL]) if _LEVEL in levels else "of unknown version"
    return release, int(settings.get(_SESSION) or _SESSION_MS) / 1000


def kafka_facts(settings: Settings) -> tuple[str, float]:
    """Release of a Kafka as it shows itself, and the shortest session it grants, in seconds."""
    return apart(_kafka_facts(settings))


def redis_version(settings: Settings) -> str:
    """Version of a Redis by its INFO."""
    try:
        with open_redis(settings) as client:
            return str(client.info("server")["redis_version"])  # type: ignore[index]
    except redis.RedisError as error:
        raise StoreUnavailableError(
            f"Redis at {settings.redis} does not answer: {error}"
        ) from error
