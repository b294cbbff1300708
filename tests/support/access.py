"""Who the tests are to the servers: settings turned into what their own clients take."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from state.keys import Keys
from state.redis_store import RedisStore
from streams.connections import redis_access
from streams.settings import Settings

_SECONDS_MAX = 5
_OF_LIBRDKAFKA = {
    "security.protocol": "kafka_security",
    "ssl.ca.location": "kafka_ca",
    "ssl.certificate.location": "kafka_certificate",
    "ssl.key.location": "kafka_key",
    "ssl.key.password": "kafka_key_password",
}
_OF_SASL = {
    "sasl.mechanism": "kafka_sasl_mechanism",
    "sasl.username": "kafka_username",
    "sasl.password": "kafka_password",
}


def librdkafka_access(settings: Settings) -> dict[str, str]:
    """What `streams.connections.kafka_access` says, in librdkafka's words.

    Examples
    --------
    >>> librdkafka_access(Settings(kafka_security="PLAINTEXT"))
    {'security.protocol': 'PLAINTEXT'}
    """
    words = _OF_LIBRDKAFKA
    if settings.kafka_security.startswith("SASL"):
        words = words | _OF_SASL
    found = {word: getattr(settings, name) for word, name in words.items()}
    return {
        word: value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)
        for word, value in found.items()
        if value is not None
    }


def _redis_arguments(settings: Settings) -> dict[str, Any]:
    tls = settings.redis.startswith("rediss://")
    patience = {"socket_timeout": _SECONDS_MAX, "socket_connect_timeout": _SECONDS_MAX}
    return patience | redis_access(settings).arguments(tls=tls)


def open_redis(settings: Settings) -> Redis:
    """A client of the installation's Redis, for somebody else's hand."""
    return Redis.from_url(settings.redis, **_redis_arguments(settings))


def open_async_redis(settings: Settings) -> AsyncRedis:
    """A client of the installation's Redis, for somebody else's hand."""
    return AsyncRedis.from_url(settings.redis, **_redis_arguments(settings))


def open_store(settings: Settings, keys: Keys) -> RedisStore:
    """A store of its own keys on the installation's Redis."""
    return RedisStore(settings.redis, keys, redis_access(settings))
