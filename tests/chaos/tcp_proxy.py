"""A TCP proxy of our own: what passes by can be delayed, cut, swallowed, switched and acted upon.

Each door listens on a port and leads to an address that may change; connections made before stay
where they lead. Knows no protocol: a tap is shown the bytes and says whether they pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

_CHUNK = 65_536


Marker = Callable[[bytes], bool]
"""Whether some bytes are what is waited for."""


class Tap(Protocol):
    """Looks at what passes by, on every connection of a door."""

    def request(self, link: object, data: bytes) -> bool:
        """Whether bytes to the server may pass; if not, the connection ends before they do."""

    def reply(self, link: object, data: bytes) -> bool:
        """Whether bytes to the client may pass; if not, they are lost and the connection ends."""


def containing(part: bytes) -> Marker:
    """Bytes with some others among them.

    >>> containing(b"b")(b"abc")
    True
    """
    return lambda data: part in data


class Door:
    """One listening port and the address that it leads to.

    Attributes
    ----------
    port : int
        From `open` on.
    delay_seconds : float
        Every chunk in either direction is held back so long.
    closed : bool
        New connections are turned away at once.
    tap : Tap or None
    flowing : asyncio.Event
        Cleared: nothing passes, and nobody is told.
    """

    def __init__(self, address: tuple[str, int], port: int = 0) -> None:
        self.address = address
        self.port = port
        self.delay_seconds = 0.0
        self.closed = False
        self.tap: Tap | None = None
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    async def open(self) -> Door:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def shut(self) -> None:
        """Stop listening and end all connections."""
        if self._server is not None:
            self._server.close()
        await self.cut()

    async def cut(self) -> int:
        """End all connections now; returns how many there were."""
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)
        return len(links)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        # A connection stays with the tap's target of its time: a switch concerns new ones only.
        far_writer: asyncio.StreamWriter | None = None
        try:
            if self.closed:
                return
            far_reader, far_writer = await asyncio.open_connection(*self.address)
            passing = [
                asyncio.create_task(
                    self._pass(reader, far_writer, lambda data: self._may_go(link, data))
                ),
                asyncio.create_task(
                    self._pass(far_reader, writer, lambda data: self._may_come(link, data))
                ),
            ]
            try:
                await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in passing:
                    task.cancel()
                await asyncio.gather(*passing, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # the far side is away, or we were told to cut
        finally:
            self._links.discard(link)
            for side in (writer, far_writer):
                if side is not None:
                    with suppress(OSError):
                        side.transport.abort()

    def _may_go(self, link: object, data: bytes) -> bool:
        return self.tap is None or self.tap.request(link, data)

    def _may_come(self, link: object, data: bytes) -> bool:
        return self.tap is None or self.tap.reply(link, data)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        may_pass: Callable[[bytes], bool],
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                await self.flowing.wait()
                if not may_pass(data):
                    return
                writer.write(data)
                await writer.drain()


class LoseReply:
    """Once a request that is waited for has passed, its reply is lost and the link ends.

    Attributes
    ----------
    done : asyncio.Event
        Set when it has happened.
    """

    def __init__(self, marker: Marker) -> None:
        self._marker = marker
        self._waiting: object = None
        self.done = asyncio.Event()

    def request(self, link: object, data: bytes) -> bool:
        """See `Tap`."""
        if self._waiting is None and self._marker(data):
            self._waiting = link
        return True

    def reply(self, link: object, data: bytes) -> bool:
        """See `Tap`."""
        if self._waiting is not link or self.done.is_set():
            return True
        self.done.set()
        return False


class ActOn:
    """Does something the moment that a request passes by, or its reply does.

    Parameters
    ----------
    marker : callable
        Of the request.
    act : callable
        What to do, once.
    on_reply : bool
        When the server has answered, instead of before it is asked.
    passes : bool
        Whether what was seen goes on to where it goes.
    """

    def __init__(
        self, marker: Marker, act: Callable[[], None], *, on_reply: bool, passes: bool = False
    ) -> None:
        self._marker = marker
        self._act = act
        self._on_reply = on_reply
        self._passes = passes
        self._waiting: object = None
        self.done = asyncio.Event()

    def request(self, link: object, data: bytes) -> bool:
        """See `Tap`."""
        if self.done.is_set() or not self._marker(data):
            return True
        if self._on_reply:
            self._waiting = self._waiting or link
            return True
        return self._now()

    def reply(self, link: object, data: bytes) -> bool:
        """See `Tap`."""
        return True if self._waiting is not link or self.done.is_set() else self._now()

    def _now(self) -> bool:
        self.done.set()
        self._act()
        return self._passes
