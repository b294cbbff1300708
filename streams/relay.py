"""The outbox relay: what was committed is published, in order, and only then forgotten.

At least once: a crash between publishing and trimming publishes again, with the same ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from state.outbox import Outgoing, count_records, unpack_messages
from state.store import Store
from streams.patience import outlast
from streams.slices import Committed

_PAGE = 8  # outbox entries read at a time when a partition is taken over; each may have 8 MB
_BATCH_MESSAGES = 5_000  # published before trimming
_BATCH_BYTES = 8 * 1024 * 1024
# Reached by large dead letters, and by whoever catches up while Kafka comes back; two publications.
# With 64 MB, and sixteen batches waiting to be counted, a worker kept 5 MB of some backlogs for good.
_WAITING_BYTES_MAX = 16 * 1024 * 1024
# How long what is published may wait to be forgotten: one command for each partition does for all of it.
# A crash in between publishes it again, with the same ids.
_TRIM_SECONDS = 0.05


class Publishes(Protocol):
    """What the relay needs of a producer."""

    async def publish(self, outgoing: Sequence[Outgoing]) -> None:
        """Send in order, runs last, and wait for all acknowledgements."""


class OutboxRelay:
    """Publishes the outboxes of the partitions a worker owns.

    Parameters
    ----------
    store : Store
    publisher : Publishes
    entries_max : int
        Entries waiting before `submit` waits too, as it does while 16 MB are waiting.
    journal : str
        Topic whose messages go first.
    """

    def __init__(
        self, store: Store, publisher: Publishes, entries_max: int, journal: str = ""
    ) -> None:
        self._journal = journal
        self._store = store
        self._publisher = publisher
        self._entries_max = entries_max
        self._waiting: asyncio.Queue[Committed] = asyncio.Queue()
        self._waiting_bytes = 0
        self._lighter = asyncio.Event()
        self._published: asyncio.Queue[list[Committed]] = asyncio.Queue()

    async def recover(self, partition: int) -> int:
        """Publish what a former owner committed and may not have published; returns how many."""
        after, count = "", 0
        while page := await self._store.outbox(partition, after, _PAGE):
            for _, packed in page:
                outgoing = unpack_messages(packed)
                await self._publish(outgoing)
                count += count_records(outgoing)
            after = page[-1][0]
            await self._store.trim_outbox(partition, after)
        return count

    async def submit(self, committed: Committed) -> None:
        """Hand over a slice just committed, at once; then wait while too many are unpublished.

        Whoever waited first could be overtaken: what came later would be published, and all that
        came before it trimmed.
        """
        if not committed.entry:
            return
        self._waiting.put_nowait(committed)
        self._waiting_bytes += committed.outbox_bytes
        while (
            self._waiting.qsize() > self._entries_max
            or self._waiting_bytes - committed.outbox_bytes >= _WAITING_BYTES_MAX
        ):
            self._lighter.clear()
            await self._lighter.wait()

    async def run(self) -> None:
        """Publish for ever, waiting out servers that are away; ends by cancellation or an error."""
        both = [asyncio.ensure_future(step) for step in (self._publish_all(), self._trim_all())]
        try:
            await asyncio.gather(*both)
        finally:
            for task in both:
                task.cancel()

    async def _publish_all(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            count, size = count_records(batch[0].outgoing), batch[0].outbox_bytes
            while count < _BATCH_MESSAGES and size < _BATCH_BYTES and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
                count += count_records(batch[-1].outgoing)
                size += batch[-1].outbox_bytes
            self._lighter.set()
            outgoing = [one for committed in batch for one in committed.outgoing]
            await outlast("publishing", partial(self._publish, outgoing))
            self._published.put_nowait(batch)

    async def _trim_all(self) -> None:
        """Forget what is published, while the next is: all of a moment at once."""
        while True:
            batch = await self._published.get()
            await asyncio.sleep(_TRIM_SECONDS)
            while not self._published.empty():
                batch += self._published.get_nowait()
            through = {committed.partition: committed.entry for committed in batch}
            trims = (partial(self._store.trim_outbox, *each) for each in through.items())
            await asyncio.gather(*(outlast("publishing", trim) for trim in trims))
            self._waiting_bytes -= sum(committed.outbox_bytes for committed in batch)
            for _ in batch:
                self._waiting.task_done()
            self._lighter.set()

    async def _publish(self, outgoing: Sequence[Outgoing]) -> None:
        """The journal's marks first: what a change owes to them must be found again if it is seen."""
        marks = [one for one in outgoing if one.topic == self._journal]
        if marks:
            await self._publisher.publish(marks)
            outgoing = [one for one in outgoing if one.topic != self._journal]
        await self._publisher.publish(outgoing)

    async def drain(self) -> None:
        """Wait until all that was submitted is published and trimmed."""
        await self._waiting.join()
