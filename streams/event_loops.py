"""The event loop that processes run on: uvloop, where it is installed."""

from __future__ import annotations

import asyncio


def use_fast_loops() -> None:
    """From now on every loop of this process is one, whoever makes it: Faust does, for each thread."""
    try:
        import uvloop  # noqa: PLC0415 - Windows has none
    except ImportError:
        return
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
