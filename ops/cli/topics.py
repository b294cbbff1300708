"""`everscore topics create`: the topics as they must be, on any Kafka."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from rich.markup import escape

from ops.cli.support import command, err, out, read_settings
from ops.stack.topics import TopicReport, declared_topics, ensure_topics
from schemas.errors import BrokerUnavailableError
from streams.connections import kafka_access
from streams.kafka_check import check_kafka
from streams.patience import outlast

topics = typer.Typer(help="The topics that Everscore needs.", no_args_is_help=True)
_PARTITIONS_MAX = 10_000


@topics.callback()
def _together() -> None:
    """Typer would make a single command the group itself."""


@topics.command()
@command
async def create(
    partitions: Annotated[
        int,
        typer.Option(
            min=1, max=_PARTITIONS_MAX, help="Of transactions and changes; may never change."
        ),
    ] = 4,
    replication: Annotated[
        int, typer.Option(min=1, max=32, help="Copies of each partition; 3 on a real cluster.")
    ] = 1,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for Kafka, if it does not answer yet.")
    ] = 0.0,
) -> None:
    """Create the topics that are missing; those that are there stay as they are."""
    settings = read_settings()
    wanted = declared_topics(settings, partitions, replication)

    async def ensure() -> TopicReport:
        await check_kafka(settings)
        return await ensure_topics(settings.kafka, wanted, kafka_access(settings))

    report = await (_within(wait, ensure, settings.kafka) if wait else ensure())
    for name in report.created:
        out.print(f"created {name}", highlight=False)
    out.print(f"{len(wanted) - len(report.created)} of {len(wanted)} topics were there")
    for line in report.differing:
        err.print(f"[yellow]differs:[/] {escape(line)}", highlight=False, soft_wrap=True)


async def _within(
    seconds: float, ensure: Callable[[], Awaitable[TopicReport]], kafka: str
) -> TopicReport:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of each attempt; so do we
    try:
        async with asyncio.timeout(seconds):
            return await outlast("creating topics", ensure)
    except TimeoutError:
        raise BrokerUnavailableError(
            f"Kafka at {kafka} did not answer within {seconds:.0f} s."
        ) from None
