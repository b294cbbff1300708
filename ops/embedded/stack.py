"""Broker and store in one: what `everscore demo` and the integration tests run against.

Owns the order of starting and stopping. Knows no topic names; the caller brings them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from ops.embedded.kafka_broker import EmbeddedKafka
from ops.embedded.redis_server import EmbeddedRedis


class EmbeddedStack:
    """An in-memory Kafka broker and a redis-server, started together and stopped together.

    Parameters
    ----------
    topics : mapping of str to int
        Topics to create, with their partition counts.

    Raises
    ------
    ConfigurationError
        At `start`: either could not start; nothing is left running.
    """

    def __init__(self, topics: Mapping[str, int] | None = None) -> None:
        self._broker = EmbeddedKafka(topics)
        self._store = EmbeddedRedis()
        self._running = ExitStack()

    @property
    def kafka(self) -> str:
        """`host:port` of the broker."""
        return self._broker.bootstrap

    @property
    def redis(self) -> str:
        """URL of the store."""
        return self._store.url

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic; see `EmbeddedKafka.create_topic`."""
        self._broker.create_topic(name, partitions)

    def kill_kafka(self) -> None:
        """Stop the broker; it forgets everything."""
        self._broker.stop()

    def start_kafka(self) -> None:
        """Start the broker again: at another address, with the topics of the beginning, empty."""
        self._broker.start()

    def start(self) -> Self:
        """Start both."""
        with ExitStack() as starting:
            starting.enter_context(self._store)
            starting.enter_context(self._broker)
            self._running = starting.pop_all()
        return self

    def stop(self) -> None:
        """Stop both. Stopping twice is harmless."""
        self._running.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
