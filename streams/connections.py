"""Settings turned into what the clients of Kafka and Redis take: one place for all of them.

Owns TLS: servers are always verified, name included, by the CA of the settings or by those this
machine trusts. Opens no connection.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from schemas.errors import ConfigurationError
from state.redis_access import RedisAccess
from state.redis_store import RedisStore
from streams.settings import Settings


def kafka_access(settings: Settings) -> dict[str, Any]:
    """Keyword arguments of every aiokafka client, its addresses left aside.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    dict
        `security_protocol`, with `ssl_context` and `sasl_…` where it asks for them.

    Raises
    ------
    ConfigurationError
        A certificate or key cannot be used; the message names its file.
    """
    security = settings.kafka_security
    access: dict[str, Any] = {"security_protocol": security}
    if security.endswith("SSL"):
        access["ssl_context"] = tls_context(
            settings.kafka_ca,
            settings.kafka_certificate,
            settings.kafka_key,
            settings.kafka_key_password,
        )
    if security.startswith("SASL"):
        access |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": _plain(settings.kafka_password),
        }
    return access


def redis_access(settings: Settings) -> RedisAccess:
    """Who we are to Redis, and how we know that it is Redis.

    Raises
    ------
    ConfigurationError
        A certificate or key cannot be used; the message names its file.
    """
    if settings.redis.startswith("rediss://"):  # the client would say so much later
        tls_context(
            settings.redis_ca,
            settings.redis_certificate,
            settings.redis_key,
            settings.redis_key_password,
        )
    return RedisAccess(
        username=settings.redis_username,
        password=_plain(settings.redis_password),
        ca=settings.redis_ca,
        certificate=settings.redis_certificate,
        key=settings.redis_key,
        key_password=_plain(settings.redis_key_password),
    )


def redis_store(settings: Settings) -> RedisStore:
    """The store of an installation; to be closed by the caller."""
    return RedisStore(settings.redis, settings.keys, redis_access(settings))


def tls_context(
    ca: Path | None, certificate: Path | None, key: Path | None, key_password: SecretStr | None
) -> ssl.SSLContext:
    """A context that verifies the server, and shows it our certificate if we have one.

    Parameters
    ----------
    ca : Path, optional
        PEM; without one, whom this machine trusts.
    certificate, key : Path, optional
        PEM, both or neither.
    key_password : SecretStr, optional

    Raises
    ------
    ConfigurationError
        A file cannot be read or used.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigurationError(
            f"{ca} is no CA certificate in PEM: {_reason(error)}.",
            hint="It begins with -----BEGIN CERTIFICATE-----.",
        ) from None
    if certificate is not None and key is not None:
        # Always a password: OpenSSL would ask for one on the terminal.
        password = _plain(key_password) or ""
        try:
            context.load_cert_chain(certificate, key, password=password)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{certificate} with key {key} is no client certificate: {_reason(error)}.",
                hint="Both must be PEM and belong together; a key that is encrypted needs its "
                "password.",
            ) from None
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "unreadable").replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or "unreadable"


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
