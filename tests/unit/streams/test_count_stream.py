"""How a worker goes through its batches: partitions side by side, each of them in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from streams import app
from streams.app import count_stream


class Stream:
    """Batches of these partitions, as Faust hands them over."""

    def __init__(self, *partitions: int) -> None:
        self.acked: list[int] = []
        self._events = [
            SimpleNamespace(
                value=SimpleNamespace(partition=partition, number=number),
                ack=lambda number=number: self.acked.append(number),
            )
            for number, partition in enumerate(partitions)
        ]

    def noack(self) -> Stream:
        return self

    async def events(self) -> AsyncIterator[SimpleNamespace]:
        for event in self._events:
            yield event


class Worker:
    """Says which batches it has begun; each is done when it is let go."""

    def __init__(self, count: int, refused: frozenset[int] = frozenset()) -> None:
        self.began: list[int] = []
        self.gates = [asyncio.Event() for _ in range(count)]
        self._refused = refused

    async def count(self, batch: SimpleNamespace) -> bool:
        self.began.append(batch.number)
        await self.gates[batch.number].wait()
        return batch.number not in self._refused


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_partitions_are_counted_side_by_side_and_each_in_order():
    worker, stream = Worker(4), Stream(0, 1, 0, 1)
    counting = asyncio.create_task(count_stream(worker, stream))
    await turns()
    assert worker.began == [0, 1]
    worker.gates[1].set()  # what comes behind partition 0 waits with it
    await turns()
    assert (worker.began, stream.acked) == ([0, 1], [1])
    worker.gates[0].set()
    await turns()
    assert (worker.began, stream.acked) == ([0, 1, 2, 3], [1, 0])
    for gate in worker.gates:
        gate.set()
    await counting
    assert sorted(stream.acked) == [0, 1, 2, 3]


async def test_what_was_not_counted_is_not_acknowledged():
    worker, stream = Worker(3, refused=frozenset({1})), Stream(0, 0, 0)
    for gate in worker.gates:
        gate.set()
    await count_stream(worker, stream)
    assert stream.acked == [0, 2]


async def test_error_ends_the_process_and_acknowledges_nothing(monkeypatch):
    class Broken(Worker):
        async def count(self, batch: SimpleNamespace) -> bool:
            raise ValueError(f"a defect at {batch.number}")

    ends: list[BaseException] = []
    monkeypatch.setattr(app, "stop_at_once", ends.append)
    stream = Stream(0, 0, 1)
    with pytest.raises(ValueError, match="a defect at 0"):
        await count_stream(Broken(3), stream)
    assert [str(error) for error in ends] == ["a defect at 0"]
    assert stream.acked == []


async def test_cancelled_agent_leaves_no_batch_at_work():
    worker, stream = Worker(2), Stream(0, 1)
    counting = asyncio.create_task(count_stream(worker, stream))
    await turns()
    counting.cancel()
    await asyncio.gather(counting, return_exceptions=True)
    for gate in worker.gates:
        gate.set()
    await turns()
    assert (worker.began, stream.acked) == ([0, 1], [])
