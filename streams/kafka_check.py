"""Whether Kafka lets us in, and if not, why: asked before a client starts, answered in one line.

Clients knock for ever and keep the reason to themselves. Owns the questions, in bounded time: does
anybody answer, do we trust each other, are topics and group there and ours to use, and can the
brokers be reached by the names they give themselves. Changes nothing, creates no topic.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeVar

from aiokafka.client import CoordinationType
from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.metadata import MetadataRequest

from schemas.errors import BrokerUnavailableError, PipelineError
from state.refusals import chain
from streams.connections import kafka_access
from streams.kafka_refusals import (
    Stage,
    kafka_refusal,
    no_topics,
    not_authorised,
    silent_closing,
    unreachable,
)
from streams.settings import Settings

_ANSWER_SECONDS_MAX = 10.0  # of one step; a broker on the other side of the world takes one
# A broker that is just ending closes connections as one does that wants TLS or a user name, and one
# that has just begun may not have heard of every topic: asked again a moment later, both say more.
_TRIES = 2
_PAUSE_SECONDS = 0.5
_BROKERS_ASKED_MAX = 16  # of a large cluster, by chance: its brokers are set up alike

Address = tuple[str, int]
T = TypeVar("T")


class _ClosedError(Exception):
    """The other side closed the connection without a word."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.name)
        self.stage = stage


class _MissingError(Exception):
    """The broker does not know topics."""

    def __init__(self, topics: Sequence[str]) -> None:
        super().__init__(*topics)
        self.topics = topics


async def check_kafka(
    settings: Settings, *, topics: Collection[str] = (), group: str | None = None
) -> dict[str, int]:
    """Ask Kafka for what we need from it.

    Parameters
    ----------
    settings : Settings
    topics : collection of str
        To be described.
    group : str, optional
        To be described.

    Returns
    -------
    dict of str to int
        How many partitions each topic has.

    Raises
    ------
    ConfigurationError
        We are refused, or a topic is missing.
    BrokerUnavailableError
        No broker answers, or none can be reached by the name it gives itself.
    """
    access = kafka_access(settings)
    refusals: list[PipelineError] = []
    for host, port, _ in collect_hosts(settings.kafka):
        try:
            brokers, found = await _asked(settings, access, (host, port), topics, group)
        except PipelineError as error:
            refusals.append(error)
            continue
        await _reach(settings, access, (host, port), brokers)
        return found
    raise min(refusals, key=lambda refusal: refusal.retriable)


async def _asked(
    settings: Settings,
    access: dict[str, Any],
    address: Address,
    topics: Collection[str],
    group: str | None,
) -> tuple[set[Address], dict[str, int]]:
    """What one broker says of its cluster: the brokers, and partition counts of topics."""
    server = f"Kafka at {shown(address)}"

    async def ask(line: AIOKafkaConnection) -> tuple[set[Address], dict[str, int]]:
        metadata = await line.send(MetadataRequest(list(topics), allow_auto_topic_creation=False))
        codes: dict[int, list[str]] = {}
        counts: dict[str, int] = {}
        for code, topic, *_, partitions in metadata.topics:
            codes.setdefault(code, []).append(topic)
            counts[topic] = len(partitions)
        if forbidden := codes.get(TopicAuthorizationFailedError.errno):
            raise not_authorised(settings, server, "topic", sorted(forbidden))
        if missing := codes.get(UnknownTopicOrPartitionError.errno):
            raise _MissingError(sorted(missing))
        if group is not None:
            found = await line.send(FindCoordinatorRequest(group, CoordinationType.GROUP))
            if found.error_code == GroupAuthorizationFailedError.errno:
                raise not_authorised(settings, server, "group", [group])
        return {(broker[1], broker[2]) for broker in metadata.brokers}, counts

    return await _let_in(settings, access, address, ask)


async def _reach(
    settings: Settings, access: dict[str, Any], known: Address, brokers: set[Address]
) -> None:
    """Make sure that the brokers can be reached by the names they give themselves."""

    async def refusal_of(address: Address) -> PipelineError | None:
        try:
            await _let_in(settings, access, address, _ask_nothing)
        except PipelineError as error:
            return error
        return None

    others = sorted(brokers - {known})
    asked = random.sample(others, min(len(others), _BROKERS_ASKED_MAX))
    refusals = await asyncio.gather(*(refusal_of(address) for address in asked))
    for refusal in refusals:
        if refusal is not None and not refusal.retriable:
            raise refusal
    if refusals and None not in refusals and known not in brokers:
        raise BrokerUnavailableError(
            f"Kafka at {shown(known)} says that it is to be found at {shown(asked[0])}, but "
            f"{refusals[0]}",
            hint="Its advertised.listeners must name addresses that we can reach.",
        )


async def _ask_nothing(line: AIOKafkaConnection) -> None:
    """To have been let in is enough."""


async def _let_in(
    settings: Settings,
    access: dict[str, Any],
    address: Address,
    ask: Callable[[AIOKafkaConnection], Awaitable[T]],
) -> T:
    """Connect and ask; raises one line that says why it could not be done."""
    server = f"Kafka at {shown(address)}"
    tries = 0
    while True:
        tries += 1
        try:
            return await _once(access, address, ask)
        except _ClosedError as closed:
            if tries == _TRIES:
                raise silent_closing(settings, server, closed.stage) from None
        except _MissingError as missing:
            if tries == _TRIES:
                raise no_topics(server, missing.topics) from None
        except (OSError, KafkaError) as error:
            refusal = kafka_refusal(settings, server, error) or unreachable(server, error)
            raise refusal from None
        await asyncio.sleep(_PAUSE_SECONDS)


async def _once(
    access: dict[str, Any],
    address: Address,
    ask: Callable[[AIOKafkaConnection], Awaitable[T]],
) -> T:
    stage = Stage.HANDSHAKE
    line = None
    try:
        line = await create_conn(
            *address, request_timeout_ms=int(_ANSWER_SECONDS_MAX * 1000), **access
        )
        stage = Stage.QUESTION
        return await ask(line)
    except KafkaConnectionError as error:
        if any(isinstance(link, ssl.SSLError) for link in chain(error)):
            raise
        raise _ClosedError(Stage.GREETING if stage is Stage.HANDSHAKE else stage) from None
    except (ssl.SSLEOFError, ConnectionResetError, BrokenPipeError):
        if "ssl_context" not in access:
            raise
        raise _ClosedError(stage) from None
    finally:
        if line is not None and (closed := line.close()) is not None:
            await closed


def shown(address: Address) -> str:
    """`host:port`, an IPv6 address in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
