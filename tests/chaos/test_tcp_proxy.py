"""The proxy: what it delays, cuts, swallows, switches and acts upon, against a server of echoes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.tcp_proxy import ActOn, Door, LoseReply, containing


class Echo:
    """Answers every message with its name and the message; keeps what it has heard."""

    def __init__(self, name: bytes = b"") -> None:
        self.name = name
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            self.heard.append(data)
            writer.write(self.name + data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def listening(echo: Echo) -> AsyncIterator[tuple[str, int]]:
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()


@pytest.fixture
async def echo() -> Echo:
    return Echo(b"one:")


@pytest.fixture
async def door(echo: Echo) -> AsyncIterator[Door]:
    async with listening(echo) as address:
        opened = await Door(address).open()
        yield opened
        await opened.shut()


class Caller:
    """A client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def of(cls, door: Door) -> Caller:
        return cls(*await asyncio.open_connection("127.0.0.1", door.port))

    async def ask(self, data: bytes) -> bytes:
        """The answer; nothing if the connection ended."""
        try:
            self.writer.write(data)
            return await self.reader.read(65_536)
        except ConnectionError:
            return b""

    def hang_up(self) -> None:
        self.writer.close()


async def test_untouched_connection_passes_everything_both_ways(door: Door) -> None:
    caller = await Caller.of(door)
    assert await caller.ask(b"hello") == b"one:hello"
    assert await caller.ask(b"again") == b"one:again"
    caller.hang_up()


async def test_cut_connections_end_and_new_ones_are_let_in(door: Door) -> None:
    callers = [await Caller.of(door) for _ in range(3)]
    for caller in callers:
        assert await caller.ask(b"x") == b"one:x"
    assert await door.cut() == 3
    for caller in callers:
        assert await caller.ask(b"x") == b""
        caller.hang_up()
    fresh = await Caller.of(door)
    assert await fresh.ask(b"y") == b"one:y"
    fresh.hang_up()


async def test_closed_door_turns_new_connections_away_and_keeps_old_ones(
    door: Door, echo: Echo
) -> None:
    old = await Caller.of(door)
    assert await old.ask(b"a") == b"one:a"
    door.closed = True
    turned_away = await Caller.of(door)
    assert await turned_away.ask(b"b") == b""
    assert await old.ask(b"c") == b"one:c"
    assert echo.heard == [b"a", b"c"]
    for caller in (old, turned_away):
        caller.hang_up()


async def test_switched_door_leads_new_connections_elsewhere_and_old_ones_where_they_went(
    door: Door,
) -> None:
    old = await Caller.of(door)
    assert await old.ask(b"a") == b"one:a"
    async with listening(Echo(b"two:")) as other:
        door.address = other
        fresh = await Caller.of(door)
        assert await fresh.ask(b"b") == b"two:b"
        assert await old.ask(b"c") == b"one:c"
        for caller in (old, fresh):
            caller.hang_up()
        await door.cut()


async def test_stalled_door_passes_nothing_until_it_flows_again(door: Door, echo: Echo) -> None:
    caller = await Caller.of(door)
    door.flowing.clear()
    asking = asyncio.create_task(caller.ask(b"late"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert echo.heard == []
    door.flowing.set()
    assert await asking == b"one:late"
    caller.hang_up()


async def test_lost_reply_ends_only_its_connection_after_the_request_took_effect(
    door: Door, echo: Echo
) -> None:
    tap = door.tap = LoseReply(containing(b"commit"))
    bystander, caller = await Caller.of(door), await Caller.of(door)
    assert await caller.ask(b"other") == b"one:other"
    assert await caller.ask(b"commit 1") == b""
    assert tap.done.is_set()
    assert b"commit 1" in echo.heard
    assert await bystander.ask(b"commit 2") == b"one:commit 2"
    for each in (bystander, caller):
        each.hang_up()


@pytest.mark.parametrize(("on_reply", "heard"), [(False, []), (True, [b"commit"])])
async def test_act_at_a_point_comes_before_the_request_or_after_its_effect(
    door: Door, echo: Echo, on_reply: bool, heard: list[bytes]
) -> None:
    heard_then: list[list[bytes]] = []
    act = ActOn(
        containing(b"commit"), lambda: heard_then.append(list(echo.heard)), on_reply=on_reply
    )
    door.tap = act
    caller = await Caller.of(door)
    assert await caller.ask(b"commit") == b""
    assert heard_then == [heard]
    assert echo.heard == heard
    caller.hang_up()


async def test_act_that_lets_pass_is_done_once_and_disturbs_nothing(door: Door) -> None:
    acts: list[int] = []
    door.tap = ActOn(containing(b"x"), lambda: acts.append(1), on_reply=False, passes=True)
    caller = await Caller.of(door)
    assert await caller.ask(b"x1") == b"one:x1"
    assert await caller.ask(b"x2") == b"one:x2"
    assert acts == [1]
    caller.hang_up()


async def test_far_side_that_is_away_ends_the_connection(door: Door) -> None:
    async with listening(Echo()) as gone:
        pass
    door.address = gone
    caller = await Caller.of(door)
    assert await caller.ask(b"x") == b""
    caller.hang_up()
