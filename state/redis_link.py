"""The connection to one Redis, and every way in which it fails us, as one line.

Owns whether an error is worth another try. Knows no keys and no commands but INFO.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, OutOfMemoryError, ReadOnlyError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from schemas.errors import ConfigurationError, PipelineError, StoreUnavailableError
from state.redis_access import RedisAccess
from state.redis_lane import RedisLane
from state.refusals import chain, dislikes_certificate, no_answer, no_tls, redis_refusal

_PREFIX = "EVERSCORE_REDIS"
_UNAVAILABLE = (RedisConnectionError, RedisTimeoutError, BusyLoadingError, ReadOnlyError)
_ANSWER_SECONDS_MAX, _CONNECT_SECONDS_MAX = 10.0, 5.0
_PAUSE_SECONDS = 0.5  # before a server that closed the connection is asked again


class _ClosedError(StoreUnavailableError):
    """Redis closed the connection without a word."""


class RedisLink:
    """A client, and what its errors mean.

    Parameters
    ----------
    url : redis://, rediss:// or unix:// URL
    access : RedisAccess

    Attributes
    ----------
    client : redis.asyncio.Redis
    lane : RedisLane
        For what is asked often, and may be carried out twice.
    server : str
        For messages, as a sentence begins; without a password.
    """

    def __init__(self, url: str, access: RedisAccess) -> None:
        self._tls = url.startswith("rediss://")
        self.client: Any = Redis.from_url(
            url,
            socket_timeout=_ANSWER_SECONDS_MAX,
            socket_connect_timeout=_CONNECT_SECONDS_MAX,
            **access.arguments(tls=self._tls),
        )
        self.lane = RedisLane(self.client, _ANSWER_SECONDS_MAX)
        scheme, _, rest = url.partition("://")
        self.server = f"Redis at {scheme}://{rest.rpartition('@')[2]}"
        self._user = self.client.connection_pool.connection_kwargs.get("username")
        self._with_certificate = access.certificate is not None
        self._answered = False

    @asynccontextmanager
    async def reachable(self) -> AsyncIterator[None]:
        """Speak to Redis within it.

        Raises
        ------
        ConfigurationError
            It turns us away.
        StoreUnavailableError
            It does not answer.
        """
        try:
            yield
            self._answered = True
        except RedisError as error:
            turned_away = redis_refusal(
                self.server, self._user, error, with_certificate=self._with_certificate
            )
            if turned_away is not None:
                raise turned_away from error
            if _is_full(error):  # nothing of the command or script was written
                raise StoreUnavailableError(
                    f"{self.server} takes no writes: its memory is full.",
                    hint="Raise its maxmemory; nothing is lost, counting goes on when it has room.",
                ) from error
            if not isinstance(error, _UNAVAILABLE):
                raise
            if isinstance(error, RedisConnectionError) and _was_closed(error):
                raise _ClosedError(str(self._closing(error))) from error
            hint = None
            if self._tls and "imeout connecting" in str(error):
                hint = f"If it does not speak TLS on this port, {_PREFIX} begins with redis://."
            said = no_answer(error)
            raise StoreUnavailableError(
                f"{self.server} does not answer: {said}.", hint=hint
            ) from error

    def _closing(self, error: RedisConnectionError) -> PipelineError:
        """What it may mean that Redis closed the connection without a word."""
        if self._answered:  # we were welcome before
            return StoreUnavailableError(f"{self.server} closed the connection.")
        if not self._tls:
            return StoreUnavailableError(
                f"{self.server} closed the connection.",
                hint=f"If it speaks TLS only, {_PREFIX} must begin with rediss://.",
            )
        if str(error).startswith("Error connecting"):
            return no_tls(self.server, _PREFIX)
        return dislikes_certificate(self.server, _PREFIX, with_certificate=self._with_certificate)

    async def close(self) -> None:
        """Let go of all connections."""
        await self.lane.close()
        await self.client.aclose()

    async def info(self) -> Mapping[str, Any]:
        """What Redis says of itself; the first thing to ask it.

        Raises
        ------
        ConfigurationError
            It turns us away, with words or, twice, without.
        StoreUnavailableError
            It does not answer.
        """
        try:
            return await self._info()
        except _ClosedError:
            await asyncio.sleep(_PAUSE_SECONDS)
        try:
            return await self._info()
        except _ClosedError as error:  # one that was just ending would be gone by now
            if self._answered:  # we were welcome before: what stands in front of it turns us away
                raise
            raise ConfigurationError(str(error)) from error

    async def _info(self) -> Mapping[str, Any]:
        async with self.reachable():
            info: Mapping[str, Any] = await self.client.info()  # naming sections needs Redis 7
        return info


def _was_closed(error: RedisConnectionError) -> bool:
    """Whether the other side closed the connection, without a word."""
    reset = any(isinstance(link, ConnectionResetError | BrokenPipeError) for link in chain(error))
    return reset or "closed by server" in str(error)


def _is_full(error: RedisError) -> bool:
    """Whether Redis takes no writes for want of memory; Redis 6.2 words it differently in scripts."""
    return isinstance(error, OutOfMemoryError) or "-OOM command not allowed" in str(error)
