"""What a run leaves behind: all records of a topic, all customers in Redis.

Reads; judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition
from redis import Redis

from ops.bench.baselines.task import CUSTOMER
from schemas.errors import BrokerUnavailableError

_PAGE = 2_000
_POLL_SECONDS = 1.0
_SILENT_POLLS_MAX = 30
_TAKE_MAX = 10_000
_REQUEST_SECONDS_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Told:
    """One record of a topic of changes."""

    customer_id: str
    kind: str
    change_id: str
    body: bytes


def read_changes(address: str, topic: str) -> Iterator[Told]:
    """All records of a topic of changes, each partition in order.

    Raises
    ------
    BrokerUnavailableError
        The broker does not hand out what it says it has.
    """
    for message in _records(address, topic):
        headers: dict[str, Any] = dict(message.headers() or ())
        kind = (headers.get("ce_type") or b"").decode().split(".")
        yield Told(
            (message.key() or b"").decode(),
            kind[1] if len(kind) > 1 else "segment",
            (headers.get("ce_id") or b"").decode(),
            message.value() or b"",
        )


def _records(address: str, topic: str) -> Iterator[Message]:
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "everscore-bench-evidence",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
            "log_level": 0,
        }
    )
    try:
        found = consumer.list_topics(topic, _REQUEST_SECONDS_MAX).topics[topic]
        left = set(found.partitions)
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in left])
        silent = 0
        while left:
            messages = consumer.consume(_TAKE_MAX, _POLL_SECONDS)
            silent = 0 if messages else silent + 1
            if silent > _SILENT_POLLS_MAX:
                raise BrokerUnavailableError(f"Topic {topic} does not come to its end.")
            for message in messages:
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
                else:
                    raise BrokerUnavailableError(f"Topic {topic} cannot be read: {error}.")
    finally:
        consumer.close()


def read_hashes(redis: Redis) -> Iterator[tuple[str, dict[str, str]]]:
    """Every customer's hash, but for the packed ledger."""
    for names in pages(redis):
        with redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(name)
            for name, fields in zip(names, pipe.execute(), strict=True):
                fields.pop(b"ledger", None)
                yield _customer_id(name), {k.decode(): v.decode() for k, v in fields.items()}


def read_packed(redis: Redis) -> Iterator[tuple[str, bytes]]:
    """Every customer's packed state."""
    for names in pages(redis):
        values: Any = redis.mget(names)
        for name, value in zip(names, values, strict=True):
            yield _customer_id(name), value


def _customer_id(name: bytes) -> str:
    return name.decode().removeprefix(CUSTOMER)


def pages(redis: Redis) -> Iterator[list[bytes]]:
    """Names of all customers' keys, page by page."""
    names = list(redis.scan_iter(f"{CUSTOMER}*", count=_PAGE))
    for start in range(0, len(names), _PAGE):
        yield names[start : start + _PAGE]
