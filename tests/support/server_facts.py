"""What servers say of themselves: their versions, and the shortest session Kafka grants."""

from __future__ import annotations

import redis
from aiokafka.errors import KafkaError

from ops.doctor.brokers import release_of
from ops.doctor.kafka_wire import features, versions_question
from ops.kafka_admin import answering_node, ask, broker_settings, open_admin
from ops.stack.topics import apart
from schemas.errors import BrokerUnavailableError, StoreUnavailableError
from streams.connections import kafka_access
from streams.settings import Settings
from tests.support.access import open_redis

_SESSION = "group.min.session.timeout.ms"
_SESSION_MS = "6000"  # Kafka's default, where we may not ask
_REQUEST_MS = 5_000


async def _kafka_facts(settings: Settings) -> tuple[str, float]:
    access = kafka_access(settings)
    try:
        async with open_admin(settings.kafka, access, request_ms=_REQUEST_MS) as admin:
            node = await answering_node(admin)
            supported, _ = features(await ask(admin, node, versions_question()))
            told = await broker_settings(admin, node, [_SESSION])
    except (KafkaError, OSError) as error:
        raise BrokerUnavailableError(
            f"Kafka at {settings.kafka} does not answer: {error!r}"
        ) from error
    level = supported.get("metadata.version")
    release = "of unknown version" if level is None else release_of(level)
    return release, int(told.get(_SESSION) or _SESSION_MS) / 1000


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
