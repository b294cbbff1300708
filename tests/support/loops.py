"""Event loops to run a test on: asyncio's own, and those that processes run on."""

from __future__ import annotations

import asyncio

from streams.event_loops import use_fast_loops


def fast_loop() -> asyncio.AbstractEventLoop:
    """One of those that processes run on; this process keeps its own."""
    before = asyncio.get_event_loop_policy()
    use_fast_loops()
    fast = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(before)
    assert fast is not before
    return fast.new_event_loop()
