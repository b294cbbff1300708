"""`everscore worker`: count transactions until told to stop."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated

import typer

from ops.cli.support import command, open_store, read_settings
from streams.connections import redis_store
from streams.kafka_check import check_kafka
from streams.overrides import first_scorecard
from streams.settings import Settings


@command
def worker(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is going on.")] = False,
) -> None:
    """Run one worker; as many as there are partitions may share the work."""
    settings = read_settings()
    first_scorecard(settings)  # what is wrong with the overrides, before anything begins
    asyncio.run(_check(settings))
    _log_to_stderr(logging.INFO if verbose else logging.WARNING)
    from streams.app import run_worker  # noqa: PLC0415 - Faust is slow to import

    run_worker(settings, redis_store(settings))


async def _check(settings: Settings) -> None:
    """Ask both servers for all that a worker needs, before Faust starts knocking on their doors."""
    async with open_store(settings) as store:
        await store.check()
    topics = [getattr(settings, name) for name in Settings.model_fields if name.endswith("_topic")]
    await check_kafka(settings, topics=topics, group=settings.group)


def _log_to_stderr(level: int) -> None:
    """Our own log lines; Faust's and Kafka's appear from WARNING on."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("everscore")
    log.addHandler(handler)
    log.setLevel(level)
    log.propagate = False
    # Faust leaves these at DEBUG and filters in the handler: building the records costs a tenth of
    # the worker's time. aiokafka tells of a broker that is away twenty times a second; we tell it once.
    for library, least in (
        ("aiokafka", logging.WARNING if level < logging.WARNING else logging.CRITICAL),
        ("faust", logging.WARNING),
        ("mode", logging.WARNING),
        ("asyncio", logging.WARNING),
        ("kafka", logging.WARNING),
    ):
        logging.getLogger(library).setLevel(least)
