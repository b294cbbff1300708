"""What the consumer's thread is asked every second: whether anything has gone wrong unseen."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import GroupAuthorizationFailedError

from streams.consumer_thread import BatchConsumerThread


class Watched(BatchConsumerThread):
    """A thread without one, whose consumer has some tasks."""

    abstract = False

    def __init__(self, group_error: Exception | None = None, **tasks: asyncio.Task[None]) -> None:
        self._group_error = group_error
        self._client = SimpleNamespace(_sync_task=tasks.get("metadata"))
        self._fetcher = SimpleNamespace(_fetch_task=tasks.get("fetches"))

    def _ensure_consumer(self) -> SimpleNamespace:
        coordinator = SimpleNamespace(check_errors=self._check_errors)
        return SimpleNamespace(
            _coordinator=coordinator, _client=self._client, _fetcher=self._fetcher
        )

    def _check_errors(self) -> None:
        if self._group_error is not None:
            raise self._group_error


async def ended(error: BaseException) -> asyncio.Task[None]:
    async def end() -> None:
        raise error

    task = asyncio.ensure_future(end())
    await asyncio.wait([task])
    return task


@pytest.mark.parametrize("which", ["metadata", "fetches"])
async def test_task_that_ended_unseen_is_told(which: str) -> None:
    thread = Watched(**{which: await ended(RuntimeError("of all things"))})
    with pytest.raises(RuntimeError, match="of all things"):
        await thread._check_group()


async def test_error_of_the_group_is_told() -> None:
    with pytest.raises(GroupAuthorizationFailedError):
        await Watched(GroupAuthorizationFailedError("g"))._check_group()


async def test_nothing_is_told_while_all_is_well_or_the_consumer_stops() -> None:
    at_work = asyncio.ensure_future(asyncio.sleep(60))
    await Watched(metadata=at_work, fetches=at_work)._check_group()
    at_work.cancel()
    await Watched()._check_group()
    stopped = await ended(asyncio.CancelledError())
    await Watched(metadata=stopped, fetches=stopped)._check_group()
