"""What goes wrong between a worker and its brokers while it waits for records.

Owns two looks at the consumer, once a second: at the group's errors, which aiokafka keeps until
somebody collects them and stands still, and at its tasks, whose end it does not notice; and at its
connections, whose loss it waits out in silence.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.errors import KafkaError
from mode import Service

from streams.consumer_thread import BatchConsumerThread
from streams.kafka_refusals import NOT_ALLOWED
from streams.patience import Backoff

log = logging.getLogger("everscore")

_CHECK_SECONDS = 1.0
_GROUP_ERRORS_MAX = 5  # between two assignments; one may pass, five mean something is set wrong


class BrokerWatch(Service):
    """Watches over one consumer; a child of it.

    Parameters
    ----------
    thread : BatchConsumerThread
    crash_consumer : async callable
        Takes what the consumer cannot go on after.

    Attributes
    ----------
    group_errors : int
        Since the last assignment, those aside that pass when a broker comes back.
    """

    abstract = False

    def __init__(
        self,
        thread: BatchConsumerThread,
        crash_consumer: Callable[[BaseException], Awaitable[None]],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._thread = thread
        self._crash_consumer = crash_consumer
        self.group_errors = 0

    async def crash(self, reason: BaseException) -> None:
        """Let the consumer end: the app knows how."""
        await self._crash_consumer(reason)

    @Service.task
    async def _watch_group(self) -> None:
        while not self.should_stop:
            await self.sleep(_CHECK_SECONDS)
            try:
                await self._thread.check_group()
            except KafkaError as error:
                self.group_errors += not error.retriable
                if isinstance(error, NOT_ALLOWED) or self.group_errors >= _GROUP_ERRORS_MAX:
                    raise
                log.warning("could not join the group, trying again: %r", error)

    @Service.task
    async def _watch_connections(self) -> None:
        backoff = Backoff()
        while not (self.should_stop or await self._thread.connected()):
            await self.sleep(_CHECK_SECONDS)  # it is only starting
        while not self.should_stop:
            if await self._thread.connected():
                backoff.over("reading")
                backoff = Backoff()
                await self.sleep(_CHECK_SECONDS)
            else:
                await backoff.wait(f"Kafka at {self._thread.servers} does not answer")
