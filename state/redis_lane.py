"""One connection that all who ask share: questions of the same moment travel together.

A client that takes a connection from a pool for every command spends more on that, on one timer a reply and
one task a write than the command costs. Here a burst of questions is one write, their answers are handed
out in order, and what is asked meanwhile goes with the next burst.

For commands that do no harm if they are carried out twice: after a connection was lost they are asked again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, NamedTuple

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError


class _Question(NamedTuple):
    commands: bytes
    replies: int
    answer: asyncio.Future[list[Any]]


class RedisLane:
    """Opened by the first question.

    Parameters
    ----------
    client : redis.asyncio.Redis
        How to connect, and as whom.
    seconds_max : float
        Of one burst, from its write to its last reply.
    """

    def __init__(self, client: Any, seconds_max: float) -> None:
        self._pool = client.connection_pool
        self._seconds_max = seconds_max
        self._connection: Any = None
        self._waiting: list[_Question] = []
        self._running: asyncio.Task[None] | None = None

    async def ask(self, commands: bytes, replies: int) -> list[Any]:
        """Send commands and wait for their replies.

        Parameters
        ----------
        commands : bytes
            As Redis reads them.
        replies : int
            How many commands that is.

        Raises
        ------
        RedisError
            Redis does not answer, or refuses one of the commands.
        """
        question = _Question(commands, replies, asyncio.get_running_loop().create_future())
        self._waiting.append(question)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await question.answer

    async def command(self, *words: str | bytes | int) -> Any:
        """The reply to one command; see `ask`."""
        (reply,) = await self.ask(hiredis.pack_command(words), 1)  # type: ignore[arg-type]
        return reply

    async def close(self) -> None:
        """Let go of the connection; whoever still waits is told."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
            self._end([])  # a task that had not begun has told nobody
        await self._drop()

    async def _run(self) -> None:
        burst: list[_Question] = []
        try:
            while self._waiting:
                burst, self._waiting = self._waiting, []
                await self._answer(burst)
        finally:
            self._end(burst)

    def _end(self, burst: list[_Question]) -> None:
        self._running = None
        waiting, self._waiting = self._waiting, []
        for one in burst + waiting:
            if not one.answer.done():
                one.answer.set_exception(RedisConnectionError("Connection closed by us."))

    async def _answer(self, burst: list[_Question]) -> None:
        used_before = self._connection is not None
        try:
            try:
                await self._exchange(burst)
            except RedisConnectionError:
                await self._pool.disconnect(inuse_connections=False)  # they are as dead as ours
                if not used_before:
                    raise
                # It was closed while nobody looked: an idle one by the server, or Redis began anew.
                await self._exchange([one for one in burst if not one.answer.done()])
        except RedisError as error:
            _tell(burst, error)
        except Exception as error:  # a fault of ours is each asker's, and not the lane's end
            await self._drop()
            _tell(burst, error)

    async def _exchange(self, burst: list[_Question]) -> None:
        try:
            async with asyncio.timeout(self._seconds_max):
                if self._connection is None:
                    self._connection = await self._connect()
                await self._connection.send_packed_command(
                    [one.commands for one in burst], check_health=False
                )
                for one in burst:
                    await self._read(one)
        except TimeoutError:
            await self._drop()
            raise RedisTimeoutError(f"No reply within {self._seconds_max:g} s") from None
        except (RedisError, OSError) as error:
            await self._drop()
            if isinstance(error, RedisError):
                raise
            raise RedisConnectionError(str(error)) from error
        except asyncio.CancelledError:
            await self._drop()
            raise

    async def _read(self, one: _Question) -> None:
        replies: list[Any] = []
        refused: ResponseError | None = None
        for _ in range(one.replies):
            try:
                replies.append(await self._connection.read_response())
            except ResponseError as error:
                refused = refused or error
        if one.answer.done():  # whoever asked has gone
            return
        if refused is None:
            one.answer.set_result(replies)
        else:
            one.answer.set_exception(refused)

    async def _connect(self) -> Any:
        # One timer watches over a whole burst; the library's own would be one for each reply.
        arguments = dict(self._pool.connection_kwargs) | {"socket_timeout": None}
        connection = self._pool.connection_class(**arguments)
        await connection.connect()
        return connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)


def _tell(questions: list[_Question], error: Exception) -> None:
    for one in questions:
        if not one.answer.done():
            one.answer.set_exception(error)
