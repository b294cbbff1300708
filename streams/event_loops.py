"""The event loop that processes run on: uvloop, where it is installed."""

from __future__ import annotations

import asyncio


def use_fast_loops() -> None:
    """Every loop that this process makes from now on is a fast one, whoever makes it: Faust does, too."""
    try:
        import uvloop  # noqa: PLC0415 - Windows has none
    except ImportError:
        return
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
