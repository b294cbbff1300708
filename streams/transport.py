"""Faust transport of record batches, under a URL scheme of its own: `batch://host:port`.

Owns what an app must say before it starts. How batches are read and acknowledged is
`streams.batch_consumer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import AppT, TopicT

from schemas.errors import ConfigurationError
from streams.batch_consumer import BatchConsumer, PositionsHook
from streams.record_batches import RecordBatchSchema

SCHEME = "batch"


class Transport(driver.Transport):
    """Set these before the worker starts, through `batch_transport(app)`.

    Attributes
    ----------
    positions : async callable
        Given the assigned partitions, says where each resumes, 0 if it never counted any of it;
        those it leaves out start at the earliest offset. Required.
    fetch_wait_ms_max : int
        Milliseconds the broker may hold back an empty fetch. All partitions of a broker share
        one fetch at a time, so it is also what a resumed partition may have to wait.
    read_records_max : int
        Records of one read; no more is read while four reads of them wait for the agent.
    finish_seconds_max : float
        Seconds the batch at work may take to finish before partitions are given up.
    access : mapping of str to Any
        Keyword arguments of the consumer: security protocol, TLS context, SASL.
    fail : callable, optional
        Told the error that the consumer cannot go on after; need not return.
    """

    Consumer = BatchConsumer
    positions: PositionsHook | None = None
    fetch_wait_ms_max: int = 20
    read_records_max: int = 2_000
    finish_seconds_max: float = 5.0  # well below the session timeout of 10 s
    access: Mapping[str, Any] = MappingProxyType({})
    fail: Callable[[BaseException], None] | None = None


def batch_transport(app: AppT) -> Transport:
    """Transport of an app whose broker URL begins with `batch://`.

    Raises
    ------
    ConfigurationError
        The app uses another transport.
    """
    if not isinstance(app.transport, Transport):
        raise ConfigurationError(
            f"The app's transport is {type(app.transport).__name__}.",
            hint=f"Give it a broker URL that begins with {SCHEME}://.",
        )
    return app.transport


def batch_topic(app: AppT, *names: str) -> TopicT:
    """Topics to be consumed as `RecordBatch` events by one agent."""
    return app.topic(*names, schema=RecordBatchSchema())


TRANSPORTS.aliases[SCHEME] = f"{__name__}:{Transport.__name__}"
