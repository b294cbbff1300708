"""A script that Redis carries out, asked for along the lane.

Owns that Redis may not know it yet, or no more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError

from state.redis_lane import RedisLane


class RedisScript:
    """One that does no harm if it is carried out twice: after a connection was lost it is asked for again.

    Parameters
    ----------
    client : redis.asyncio.Redis
    lane : RedisLane
    text : str
        Lua.
    """

    def __init__(self, client: Any, lane: RedisLane, text: str) -> None:
        self._client = client
        self._lane = lane
        self._text = text
        self._sha1 = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:
        """Its reply.

        Raises
        ------
        RedisError
            Redis does not answer, or refuses it.
        """
        words = "EVALSHA", self._sha1, len(keys), *keys, *args
        try:
            return await self._lane.command(*words)
        except NoScriptError:  # Redis began anew, or somebody flushed it
            await self._client.script_load(self._text)
            return await self._lane.command(*words)
