"""What a Kafka that turns us away means, and what the operator can do about it: one line each."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from schemas.errors import BrokerUnavailableError, ConfigurationError, PipelineError
from state.refusals import chain, dislikes_certificate, no_answer, no_tls, tls_refusal
from streams.settings import Settings

# Kafka knows us, and what we may not do: trying again changes nothing.
NOT_ALLOWED = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    ClusterAuthorizationFailedError,
)
_PREFIX = "EVERSCORE_KAFKA"
_ROLES = "ops/security/README.md says what each role needs."


class Stage(Enum):
    """How far a connection had come when it was closed without a word."""

    HANDSHAKE = auto()
    GREETING = auto()
    QUESTION = auto()


def kafka_refusal(settings: Settings, server: str, error: BaseException) -> PipelineError | None:
    """What an error of a Kafka client means if a broker turns us away for good.

    Parameters
    ----------
    settings : Settings
        As whom we came.
    server : str
        As a sentence begins: `Kafka at broker:9092`.
    error : BaseException
        As the client raised it.

    Returns
    -------
    PipelineError or None
        Not retriable; None where it was something else.
    """
    for link in chain(error):
        refusal = _stranger(settings, server, link) or _not_allowed(settings, server, link)
        if refusal is not None:
            return refusal
    shows = settings.kafka_certificate is not None
    return tls_refusal(server, _PREFIX, error, with_certificate=shows)


def _stranger(settings: Settings, server: str, error: BaseException) -> ConfigurationError | None:
    """Kafka does not know us."""
    if isinstance(error, SaslAuthenticationFailed):
        return ConfigurationError(
            f"{server} refused user {settings.kafka_username!r}: wrong user name or password.",
            hint=f"Check {_PREFIX}_USERNAME, {_PREFIX}_PASSWORD and {_PREFIX}_SASL_MECHANISM.",
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        return ConfigurationError(
            f"{server} does not take {settings.kafka_sasl_mechanism}.",
            hint=f"Set {_PREFIX}_SASL_MECHANISM to one that it takes.",
        )
    if isinstance(error, IllegalSaslStateError):
        bare = "SSL" if settings.kafka_security == "SASL_SSL" else "PLAINTEXT"
        return ConfigurationError(
            f"{server} takes no user names on this port.",
            hint=f"Set {_PREFIX}_SECURITY to {bare}, or name its SASL port.",
        )
    return None


def _not_allowed(
    settings: Settings, server: str, error: BaseException
) -> ConfigurationError | None:
    """Kafka knows us, and what we may not do."""
    if isinstance(error, TopicAuthorizationFailedError):
        topics = [str(name) for part in error.args for name in _listed(part)]
        return not_authorised(settings, server, "topic", topics)
    if isinstance(error, GroupAuthorizationFailedError):
        return not_authorised(settings, server, "group", [settings.group])
    if isinstance(error, ClusterAuthorizationFailedError):
        # Asked for by nobody but producers: an idempotent one may be had by whoever may write.
        return ConfigurationError(
            f"{server} does not let {_who(settings)} publish anything.", hint=_ROLES
        )
    return None


def kafka_error(settings: Settings, error: KafkaError, failed: str) -> PipelineError:
    """An error of a Kafka client in one line, for those who cannot go on.

    Parameters
    ----------
    settings : Settings
    error : KafkaError
    failed : str
        What Kafka did not do, as the sentence goes on: `did not take a transaction`.
    """
    server = f"Kafka at {settings.kafka}"
    return kafka_refusal(settings, server, error) or BrokerUnavailableError(
        f"{server} {failed}: {error!r}"
    )


def message_refusal(
    settings: Settings, error: KafkaError, topics: Sequence[str]
) -> ConfigurationError | None:
    """What it means that Kafka will never take a message; None if it may take it later.

    Parameters
    ----------
    settings : Settings
    error : KafkaError
    topics : names of the topics that may have refused it
    """
    for kind, why, hint in _NEVER_TAKEN:
        if isinstance(error, kind):
            which = " or ".join(repr(topic) for topic in dict.fromkeys(topics)) or "a topic"
            return ConfigurationError(
                f"Kafka at {settings.kafka} refuses a message for {which}: {why}. It is kept.",
                hint=hint,
            )
    return None


_NEVER_TAKEN = (
    (
        MessageSizeTooLargeError,
        "it is too large",
        "Raise max.message.bytes there; 67108864 holds every dead letter.",
    ),
    (
        RecordListTooLargeError,
        "it is larger than a segment",
        "Raise segment.bytes there.",
    ),
    (
        InvalidTimestampError,
        "its timestamp is too far from the broker's clock",
        "Let message.timestamp.after.max.ms and .before.max.ms there be those of the transactions.",
    ),
    (PolicyViolationError, "a policy of the brokers forbids it", "Ask who runs them."),
)


def not_authorised(
    settings: Settings, server: str, kind: str, names: Sequence[str]
) -> ConfigurationError:
    """Topics or groups are there, perhaps, but not for us."""
    which = ", ".join(repr(name) for name in names)
    some = f"{kind}s {which}" if len(names) > 1 else f"{kind} {which}".rstrip()
    return ConfigurationError(f"{server} does not let {_who(settings)} use {some}.", hint=_ROLES)


def no_topics(server: str, names: Sequence[str]) -> ConfigurationError:
    """Topics are not there, and no broker shall make them up: their partitions are for ever."""
    which = ", ".join(repr(name) for name in names)
    return ConfigurationError(
        f"{server} has no topic{'s' if len(names) > 1 else ''} {which}.",
        hint="Create what is missing: everscore topics create.",
    )


def unreachable(server: str, error: BaseException) -> BrokerUnavailableError:
    """Nobody is there, for now."""
    return BrokerUnavailableError(f"{server} does not answer: {no_answer(error)}.")


def silent_closing(settings: Settings, server: str, stage: Stage) -> PipelineError:
    """The broker closed the connection without a word, and did so again."""
    security = settings.kafka_security
    if stage is Stage.HANDSHAKE:
        return no_tls(server, _PREFIX)
    if stage is Stage.GREETING and not security.endswith("SSL"):
        tls = "SASL_SSL" if security.startswith("SASL") else "SSL or SASL_SSL"
        return ConfigurationError(
            f"{server} closes the connection at the first word: it seems to want TLS on this port.",
            hint=f"Set {_PREFIX}_SECURITY to {tls}, or name its plaintext port.",
        )
    if stage is Stage.GREETING:
        shows = settings.kafka_certificate is not None
        return dislikes_certificate(server, _PREFIX, with_certificate=shows)
    if not security.startswith("SASL"):
        sasl = "SASL_SSL" if security == "SSL" else "SASL_PLAINTEXT"
        return ConfigurationError(
            f"{server} closes the connection when asked: it seems to want a user name on this port.",
            hint=f"Set {_PREFIX}_SECURITY to {sasl}, {_PREFIX}_USERNAME and {_PREFIX}_PASSWORD.",
        )
    return BrokerUnavailableError(f"{server} closes the connection when asked.")


def _who(settings: Settings) -> str:
    if settings.kafka_username is not None:
        return f"user {settings.kafka_username!r}"
    if settings.kafka_certificate is not None:
        return f"the owner of {settings.kafka_certificate}"
    return "us"


def _listed(part: object) -> Sequence[object]:
    return list(part) if isinstance(part, list | tuple | set | frozenset) else [part]
