"""A partition kept from the workers while it is rebuilt. Owns the key that says so, and its renewal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from schemas.errors import StoreUnavailableError
from state.store import REBUILDER, Store
from streams.patience import outlast
from streams.settings import Settings

# Long enough for a Redis that answers nothing for some seconds; workers wait as long for a rebuild that
# was killed. Longer, they would stand still for nothing.
RESERVED_SECONDS = 15.0
_RENEWED_SECONDS = 3.0
_LOOK_SECONDS = 1.0


def rebuilder_of(settings: Settings) -> str:
    """Name under which we own partitions."""
    return REBUILDER + settings.owner


@asynccontextmanager
async def reserved(
    store: Store, partition: int, owner: str, waiting: Callable[[str], None]
) -> AsyncIterator[None]:
    """Keep a partition from everybody else; waits for another rebuild to let go of it.

    Parameters
    ----------
    waiting : callable
        Hears whom we wait for.
    """

    async def reserve() -> str:
        return await store.reserve(partition, owner, RESERVED_SECONDS)

    async def renew() -> None:
        while True:
            await asyncio.sleep(_RENEWED_SECONDS)
            await outlast(f"partition {partition}", reserve)

    while (holder := await reserve()) != owner:
        waiting(holder)
        await asyncio.sleep(_LOOK_SECONDS)
    renewal = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewal.cancel()
        with suppress(asyncio.CancelledError):
            await renewal
        with suppress(StoreUnavailableError):  # it expires by itself
            await store.reserve(partition, owner, 0)
