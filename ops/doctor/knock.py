"""Knocking at every address of Kafka: which let us in, and why the others do not."""

from __future__ import annotations

import asyncio

from schemas.errors import BrokerUnavailableError, PipelineError
from streams.kafka_check import check_kafka
from streams.settings import Settings

CONNECT_SECONDS_MAX = 3.0  # 0.02 s on one machine


async def knock(settings: Settings) -> tuple[str, dict[str, str]]:
    """An address that answers, and why others do not.

    Returns
    -------
    tuple of str and dict of str to str
        The first of `settings.kafka` that lets us in; what is wrong with others by their addresses.

    Raises
    ------
    BrokerUnavailableError
        None answers.
    ConfigurationError
        None lets us in.
    """
    addresses = [address.strip() for address in settings.kafka.split(",")]
    outcomes = await asyncio.gather(*(_at(settings, address) for address in addresses))
    refusals = {address: error for address, error in zip(addresses, outcomes, strict=True) if error}
    answered = [address for address in addresses if address not in refusals]
    if not answered:
        raise min(refusals.values(), key=lambda error: error.retriable)
    return answered[0], {address: str(error) for address, error in refusals.items()}


async def _at(settings: Settings, address: str) -> PipelineError | None:
    """Why one address does not let us in."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            await check_kafka(settings.model_copy(update={"kafka": address}))
    except TimeoutError:
        return BrokerUnavailableError(
            f"Kafka at {address} did not answer within {CONNECT_SECONDS_MAX:g} s."
        )
    except PipelineError as error:
        return error
    return None
