"""What Redis says of itself and of our rights, without changing anything; `everscore doctor` asks.

Owns the questions, and an example of every command that the store sends. Judges no answer.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

from redis.exceptions import ClusterCrossSlotError, MovedError, NoScriptError, ResponseError

from state.keys import Keys

PINGS = 5
# Of CONFIG GET; a worker need not be allowed to ask.
CONFIG = ("appendfsync", "save", "maxmemory-policy")
# Said only after Redis has looked at our rights.
_NOT_REFUSED = (NoScriptError, MovedError, ClusterCrossSlotError)
_NO_KEY = "doctor"  # a customer or version nobody has

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """Everything that was asked, as far as it was answered.

    Attributes
    ----------
    info : mapping of str to Any
        As INFO tells it; empty if we may not ask.
    ping_ms : float
        Median of a few.
    ahead_seconds : float, optional
        How far its clock is ahead of ours (negative: behind); None if it does not tell.
    error_seconds : float
        How far off that may be.
    config : mapping of str to str, optional
        Of CONFIG; None if we may not ask.
    user : str, optional
        Name under which we are known; None if we may not ask.
    refused : mapping of str to str
        Commands that we need and are refused, with a key, and why.
    untried : tuple of str
        Commands that could not be tried without doing them.
    """

    info: Mapping[str, Any] = field(default_factory=dict)
    ping_ms: float = 0.0
    ahead_seconds: float | None = None
    error_seconds: float = 0.0
    config: Mapping[str, str] | None = None
    user: str | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    untried: tuple[str, ...] = ()


def reading_probes(keys: Keys) -> dict[str, list[Command]]:
    """Commands that change nothing, by their names in an ACL, on every kind of key they serve."""
    checkpoint, due, outbox = keys.partition(0), keys.due(0), keys.outbox(0)
    customer = keys.customer(0, _NO_KEY)
    hashes = (keys.installation, keys.scorecards, checkpoint, keys.tombstones(0))
    strings = (keys.current_scorecard, keys.learning, keys.rebuild(0), keys.rebuilt)
    return {
        "ping": [("PING",)],
        "info": [("INFO",)],
        "get": [("GET", key) for key in strings],
        "hget": [("HGET", checkpoint, "epoch")],
        "hgetall": [("HGETALL", key) for key in hashes],
        "hmget": [("HMGET", customer, "ledger")],
        "zrange": [("ZRANGE", due, "0", "0")],
        "zrangebyscore": [("ZRANGEBYSCORE", due, "-inf", "0", "LIMIT", "0", "1")],
        "zscan": [("ZSCAN", due, "0")],
        "xrange": [("XRANGE", outbox, "-", "+", "COUNT", "1")],
        "evalsha": [("EVALSHA", "0" * 40, "1", checkpoint)],
    }


def writing_probes(keys: Keys) -> dict[str, list[Command]]:
    """Commands that may only be queued and then forgotten, by their names in an ACL."""
    checkpoint, due, outbox = keys.partition(0), keys.due(0), keys.outbox(0)
    customer, tombstones = keys.customer(0, _NO_KEY), keys.tombstones(0)
    strings = (keys.current_scorecard, keys.learning, keys.rebuild(0), keys.rebuilt)
    return {
        "script|load": [("SCRIPT", "LOAD", "return 1")],
        "hset": [("HSET", key, "field", "") for key in (checkpoint, customer, tombstones)],
        "hsetnx": [("HSETNX", key, "field", "") for key in (keys.installation, keys.scorecards)],
        "hincrby": [("HINCRBY", checkpoint, "epoch", "1")],
        "set": [("SET", key, _NO_KEY) for key in strings],
        "restore": [("RESTORE", customer, "0", "", "REPLACE")],
        "del": [("DEL", customer)],
        "hdel": [("HDEL", tombstones, "field")],
        "zadd": [("ZADD", due, "0", _NO_KEY)],
        "zrem": [("ZREM", due, _NO_KEY)],
        "xadd": [("XADD", outbox, "*", "messages", "")],
        "xtrim": [("XTRIM", outbox, "MINID", "0")],
    }


class RedisInspection:
    """Questions to one Redis.

    Parameters
    ----------
    client : redis.asyncio.Redis
    keys : Keys
    """

    def __init__(self, client: Any, keys: Keys) -> None:
        self._redis = client
        self._keys = keys

    async def facts(self, commands: Iterable[str]) -> RedisFacts:
        """Ask everything.

        Parameters
        ----------
        commands : iterable of str
            Those that we need, by their names in an ACL.
        """
        pings = [await self._ping_seconds() for _ in range(PINGS)]
        before = time.time()
        info = await _unless_refused(self._redis.info()) or {}
        after = time.time()
        told = info.get("server_time_usec")
        user = await _unless_refused(self._redis.acl_whoami())
        refused, untried = await self._try(frozenset(commands))
        return RedisFacts(
            info=info,
            ping_ms=median(pings) * 1000,
            ahead_seconds=None if told is None else told / 1e6 - (before + after) / 2,
            error_seconds=(after - before) / 2,
            config=await self._config(),
            user=user.decode() if isinstance(user, bytes) else user,
            refused=refused,
            untried=untried,
        )

    async def _ping_seconds(self) -> float:
        began = time.monotonic()
        await _unless_refused(self._redis.ping())
        return time.monotonic() - began

    async def _config(self) -> dict[str, str] | None:
        found: dict[str, str] = {}
        for name in CONFIG:  # one by one, as Redis 6 wants it
            answer = await _unless_refused(self._redis.config_get(name))
            if answer is None:
                return None
            found |= answer
        return found

    async def _try(self, commands: frozenset[str]) -> tuple[dict[str, str], tuple[str, ...]]:
        """Which commands are refused and why, and which could not be tried.

        Commands that only read are tried as they are, the others in a transaction that is never
        executed: Redis looks at rights, memory and its own role before it queues a command, and a
        transaction whose connection is gone has done nothing.
        """
        reading = _chosen(reading_probes(self._keys), commands)
        writing = _chosen(writing_probes(self._keys), commands)
        if not reading and not writing:
            return {}, ()
        async with self._redis.client() as alone:  # a transaction belongs to one connection
            await _unless_refused(alone.ping())
            ask = partial(_refusal, alone.connection)
            reasons = {_shown(command): await ask(command) for command in reading}
            queueing = await ask(("MULTI",))
            if not queueing:
                reasons |= {_shown(command): await ask(command) for command in writing}
            await alone.connection.disconnect()
        if "multi" in commands:
            reasons["MULTI"] = queueing
        untried = tuple(_shown(command) for command in writing) if queueing else ()
        return {name: reason for name, reason in reasons.items() if reason}, untried


async def _unless_refused(answer: Awaitable[Any]) -> Any:
    """An answer; None where we may not ask, or Redis does not know the question."""
    try:
        return await answer
    except ResponseError:
        return None


async def _refusal(connection: Any, command: Command) -> str:
    """Why a command is refused; empty if it is not. Its answer is read as it comes."""
    await connection.send_command(*command)
    try:
        await connection.read_response()
    except _NOT_REFUSED:
        return ""
    except ResponseError as error:
        return "" if str(error).startswith("WRONGTYPE") else str(error)
    return ""


def _chosen(probes: Mapping[str, list[Command]], commands: frozenset[str]) -> list[Command]:
    return [command for name, listed in probes.items() if name in commands for command in listed]


def _shown(command: Command) -> str:
    """Name and key, as in `HSET customer:C-42`."""
    if command[0] == "EVALSHA":
        return f"EVALSHA {command[3]}"
    return " ".join(command[:2])
