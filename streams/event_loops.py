"""The event loop that processes run on: uvloop, where it is installed, with the manners of asyncio's own.

uvloop raises RuntimeError when something is written to a connection that the other side has just reset;
asyncio is silent, and whoever reads is told. Clients are written for the latter: aiokafka's task that keeps
up with the cluster died of it, and a worker then looked for its group's coordinator for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any


class _Transport:
    """One that lets what is written to a lost connection go."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        try:
            self._transport.write(data)
        except RuntimeError:
            if not self._transport.is_closing():
                raise

    def writelines(self, data: Iterable[bytes]) -> None:
        try:
            self._transport.writelines(data)
        except RuntimeError:
            if not self._transport.is_closing():
                raise


def use_fast_loops() -> None:
    """Every loop that this process makes from now on is a fast one, whoever makes it: Faust does, too."""
    try:
        import uvloop  # noqa: PLC0415 - Windows has none
    except ImportError:
        return

    class Loop(uvloop.Loop):
        async def create_connection(self, *args: Any, **kwargs: Any) -> Any:
            transport, protocol = await super().create_connection(*args, **kwargs)
            return _Transport(transport), protocol

        async def create_unix_connection(self, *args: Any, **kwargs: Any) -> Any:
            transport, protocol = await super().create_unix_connection(*args, **kwargs)
            return _Transport(transport), protocol

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return Loop()

    asyncio.set_event_loop_policy(Policy())
