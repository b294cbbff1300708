"""Waiting for a server that is away: back off, say what is waited for, go on when it answers.

Owns the pauses and the words. Only errors that declare themselves retriable are waited out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from schemas.errors import PipelineError

log = logging.getLogger("everscore")

BACKOFF_SECONDS_MIN = 0.1  # a server that was restarted is missed by little
BACKOFF_SECONDS_MAX = 2.0  # one that stays away is not hammered, nor missed long when it is back
_REPEAT_SECONDS = 1.0  # all that a worker does waits for the same server, and need not all say so

Result = TypeVar("Result")


class Backoff:
    """One stretch of waiting: longer and longer pauses, a line that says why, one when it is over.

    Examples
    --------
    >>> backoff = Backoff()
    >>> [backoff.lengthen() for _ in range(8)]
    [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    """

    def __init__(self) -> None:
        self._began = monotonic()
        self._next = BACKOFF_SECONDS_MIN
        self._waited = False

    def lengthen(self) -> float:
        """The pause to make now, in seconds; the next one is twice as long."""
        pause = self._next
        self._next = min(2 * pause, BACKOFF_SECONDS_MAX)
        return pause

    async def wait(self, why: object) -> None:
        """Say why we wait, and wait."""
        self._waited = True
        _say_waiting(str(why))
        await asyncio.sleep(self.lengthen())

    def over(self, what: str) -> None:
        """Say that it goes on, if there was anything to wait for."""
        if self._waited:
            log.warning("%s goes on after %.1f s", what, monotonic() - self._began)


_said: dict[str, float] = {}


def _say_waiting(why: str) -> None:
    now = monotonic()
    if now - _said.get(why, -_REPEAT_SECONDS) >= _REPEAT_SECONDS:
        _said.clear()  # what was waited for before needs no memory
        _said[why] = now
        log.warning("waiting: %s", why)


async def outlast(what: str, step: Callable[[], Awaitable[Result]]) -> Result:
    """Repeat a step until the servers it needs are there.

    Parameters
    ----------
    what : str
        For the log: what goes on once they are.
    step : async callable
        Safe to repeat.

    Raises
    ------
    PipelineError
        One that waiting does not mend.
    """
    backoff = Backoff()
    while True:
        try:
            result = await step()
        except PipelineError as error:
            if not error.retriable:
                raise
            await backoff.wait(error)
        else:
            backoff.over(what)
            return result
