"""The store in Redis: one atomic script per slice, one round trip per load."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, ReadOnlyError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from schemas.errors import (
    ConfigurationError,
    FencedError,
    PipelineError,
    StoreUnavailableError,
)
from scoring.states import NEVER_US
from state.checkpoints import checkpoint_fields, guard_fields, read_checkpoint, refusal
from state.fields import FIELDS
from state.inspection import RedisFacts, RedisInspection
from state.keys import Keys
from state.redis_access import RedisAccess
from state.refusals import chain, dislikes_certificate, no_answer, no_tls, redis_refusal
from state.store import Checkpoint, Fields, SliceCommit

OLDEST_VERSION = (6, 2)
_UNAVAILABLE = (RedisConnectionError, RedisTimeoutError, BusyLoadingError, ReadOnlyError)
_ANSWER_SECONDS_MAX, _CONNECT_SECONDS_MAX = 10.0, 5.0
_PAUSE_SECONDS = 0.5  # before a server that closed the connection is asked again


def _script(name: str) -> str:
    return (files("state") / "scripts" / f"{name}.lua").read_text(encoding="utf-8")


class _ClosedError(StoreUnavailableError):
    """Redis closed the connection without a word."""


class RedisStore:
    """See `state.store.Store`.

    Parameters
    ----------
    url : redis://, rediss:// or unix:// URL
    keys : Keys
    access : RedisAccess, optional
        Nobody in particular without it.
    """

    def __init__(
        self, url: str, keys: Keys | None = None, access: RedisAccess | None = None
    ) -> None:
        self._keys = keys or Keys()
        arguments = (access or RedisAccess()).arguments(tls=url.startswith("rediss://"))
        self._redis: Any = Redis.from_url(
            url,
            socket_timeout=_ANSWER_SECONDS_MAX,
            socket_connect_timeout=_CONNECT_SECONDS_MAX,
            **arguments,
        )
        self._tls = url.startswith("rediss://")
        scheme, _, rest = url.partition("://")
        self._server = f"Redis at {scheme}://{rest.rpartition('@')[2]}"  # without the password
        self._user = self._redis.connection_pool.connection_kwargs.get("username")
        self._answered = False
        self._with_certificate = access is not None and access.certificate is not None
        self._commit = self._redis.register_script(_script("commit_slice"))
        self._acquire = self._redis.register_script(_script("acquire"))
        self._load = self._redis.register_script(_script("load_many"))

    @asynccontextmanager
    async def _reachable(self) -> AsyncIterator[None]:
        """Every way in which Redis does not do its part, as one line."""
        try:
            yield
            self._answered = True
        except RedisError as error:
            turned_away = redis_refusal(
                self._server, self._user, error, with_certificate=self._with_certificate
            )
            if turned_away is not None:
                raise turned_away from error
            if not isinstance(error, _UNAVAILABLE):
                raise
            if isinstance(error, RedisConnectionError) and _was_closed(error):
                raise _ClosedError(str(self._closing(error))) from error
            hint = None
            if self._tls and "imeout connecting" in str(error):
                hint = (
                    "If it does not speak TLS on this port, EVERSCORE_REDIS begins with redis://."
                )
            said = no_answer(error)
            raise StoreUnavailableError(
                f"{self._server} does not answer: {said}.", hint=hint
            ) from error

    def _closing(self, error: RedisConnectionError) -> PipelineError:
        """What it may mean that Redis closed the connection without a word."""
        if self._answered:  # we were welcome before
            return StoreUnavailableError(f"{self._server} closed the connection.")
        if not self._tls:
            return StoreUnavailableError(
                f"{self._server} closed the connection.",
                hint="If it speaks TLS only, EVERSCORE_REDIS must begin with rediss://.",
            )
        if str(error).startswith("Error connecting"):
            return no_tls(self._server, "EVERSCORE_REDIS")
        return dislikes_certificate(
            self._server, "EVERSCORE_REDIS", with_certificate=self._with_certificate
        )

    async def check(self) -> None:
        """See `Store.check`."""
        try:
            info = await self._info()
        except _ClosedError:
            await asyncio.sleep(_PAUSE_SECONDS)
            try:
                info = await self._info()
            except _ClosedError as error:  # one that was just ending would be gone by now
                raise ConfigurationError(str(error)) from error
        version = str(info.get("redis_version", "unknown"))
        found = re.match(r"(\d+)\.(\d+)", version)
        if found is None or tuple(map(int, found.groups())) < OLDEST_VERSION:
            raise ConfigurationError(
                f"{self._server} is version {version}.", hint="6.2 or later is needed."
            )
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise ConfigurationError(
                f"{self._server} has maxmemory-policy {policy}: it may evict customers.",
                hint="Set maxmemory-policy noeviction.",
            )

    async def _info(self) -> Mapping[str, Any]:
        async with self._reachable():
            info: Mapping[str, Any] = await self._redis.info()  # naming sections needs Redis 7
        return info

    async def inspect(self, commands: Iterable[str]) -> RedisFacts:
        """What the server says of itself and of our rights; see `state.inspection`.

        Parameters
        ----------
        commands : iterable of str
            Those that we need, by their names in an ACL.

        Raises
        ------
        StoreUnavailableError
            It does not answer.
        ConfigurationError
            It does not let us in.
        """
        async with self._reachable():
            return await RedisInspection(self._redis, self._keys).facts(commands)

    async def acquire(self, partition: int, owner: str, token: str = "") -> Checkpoint:
        """See `Store.acquire`."""
        async with self._reachable():
            flat = await self._acquire(keys=[self._keys.partition(partition)], args=[owner, token])
        return read_checkpoint(_fields_of(flat))

    async def checkpoint(self, partition: int) -> Checkpoint:
        """See `Store.checkpoint`."""
        async with self._reachable():
            fields = await self._redis.hgetall(self._keys.partition(partition))
        return read_checkpoint({name.decode(): value for name, value in fields.items()})

    async def load_many(self, partition: int, customer_ids: Sequence[str]) -> list[Fields | None]:
        """See `Store.load_many`."""
        if not customer_ids:
            return []
        for customer_id in customer_ids:
            self._keys.customer(partition, customer_id)  # refuses what may not become a key
        async with self._reachable():
            rows = await self._load(
                keys=[self._keys.partition(partition)],
                args=[
                    self._keys.customer_prefix(partition),
                    len(FIELDS),
                    *FIELDS,
                    *customer_ids,
                ],
            )
        return [None if row is None else dict(zip(FIELDS, row, strict=True)) for row in rows]

    async def commit_slice(self, commit: SliceCommit) -> str:
        """See `Store.commit_slice`."""
        keys = self._keys
        partition = commit.partition
        packed = commit.fields[-1:] == FIELDS[-1:]
        payload = msgspec.msgpack.encode(
            {
                "expected": guard_fields(commit.before),
                "checkpoint": checkpoint_fields(commit.after),
                "fields": commit.fields,
                "ids": commit.customer_ids,
                "rows": [row[:-1] for row in commit.rows] if packed else commit.rows,
                "due": ["+inf" if at == float("inf") else repr(at) for at in commit.due_at],
            }
        )
        ledgers = [row[-1] for row in commit.rows] if packed else []
        async with self._reachable():
            done, result = await self._commit(
                keys=[keys.partition(partition), keys.outbox(partition), keys.due(partition)],
                args=[
                    keys.customer_prefix(partition),
                    payload,
                    commit.outbox,
                    *ledgers,
                ],
            )
        if not done:
            held = read_checkpoint(_fields_of(result))
            raise refusal(partition, held, commit.before) or FencedError(f"partition {partition}")
        return str(result.decode())

    async def due(self, partition: int, until_us: int, limit: int) -> list[str]:
        """See `Store.due`."""
        async with self._reachable():
            ids = await self._redis.zrangebyscore(
                self._keys.due(partition), "-inf", repr(until_us / 1e6), start=0, num=limit
            )
        return [customer_id.decode() for customer_id in ids]

    async def next_due_us(self, partition: int) -> int:
        """See `Store.next_due_us`."""
        async with self._reachable():
            first = await self._redis.zrange(self._keys.due(partition), 0, 0, withscores=True)
        if not first or first[0][1] == float("inf"):
            return NEVER_US
        return round(float(first[0][1]) * 1e6)

    async def customers(self, partition: int, cursor: int, count: int) -> tuple[int, list[str]]:
        """See `Store.customers`."""
        cursor, page = await self.reviews(partition, cursor, count)
        return cursor, [customer_id for customer_id, _ in page]

    async def reviews(
        self, partition: int, cursor: int, count: int
    ) -> tuple[int, list[tuple[str, float]]]:
        """See `Store.reviews`."""
        async with self._reachable():
            cursor, page = await self._redis.zscan(
                self._keys.due(partition), cursor=cursor, count=count
            )
        return int(cursor), [(customer_id.decode(), float(at)) for customer_id, at in page]

    async def outbox(self, partition: int, after: str, count: int) -> list[tuple[str, bytes]]:
        """See `Store.outbox`."""
        async with self._reachable():
            entries = await self._redis.xrange(
                self._keys.outbox(partition), min=f"({after}" if after else "-", count=count
            )
        return [(entry.decode(), fields[b"messages"]) for entry, fields in entries]

    async def trim_outbox(self, partition: int, through: str) -> None:
        """See `Store.trim_outbox`."""
        milliseconds, _, counter = through.partition("-")
        async with self._reachable():
            await self._redis.xtrim(
                self._keys.outbox(partition),
                minid=f"{milliseconds}-{int(counter) + 1}",
                approximate=False,
            )

    async def installation(self) -> dict[str, str]:
        """See `Store.installation`."""
        async with self._reachable():
            facts = await self._redis.hgetall(self._keys.installation)
        return {name.decode(): value.decode() for name, value in facts.items()}

    async def found(self, facts: Mapping[str, str]) -> dict[str, str]:
        """See `Store.found`."""
        pipeline = self._redis.pipeline(transaction=True)
        for name, value in facts.items():
            pipeline.hsetnx(self._keys.installation, name, value)
        async with self._reachable():
            await pipeline.execute()
        return await self.installation()

    async def save_scorecard(self, version: str, body: bytes, *, current: bool) -> None:
        """See `Store.save_scorecard`."""
        async with self._reachable():
            await self._redis.hsetnx(self._keys.scorecards, version, body)
            if current:
                await self._redis.set(self._keys.current_scorecard, version)

    async def scorecards(self) -> dict[str, bytes]:
        """See `Store.scorecards`."""
        async with self._reachable():
            cards = await self._redis.hgetall(self._keys.scorecards)
        return {version.decode(): body for version, body in cards.items()}

    async def current_scorecard(self) -> str | None:
        """See `Store.current_scorecard`."""
        async with self._reachable():
            version = await self._redis.get(self._keys.current_scorecard)
        return None if version is None else str(version.decode())

    async def close(self) -> None:
        """See `Store.close`."""
        await self._redis.aclose()


def _was_closed(error: RedisConnectionError) -> bool:
    """Whether the other side closed the connection, without a word."""
    reset = any(isinstance(link, ConnectionResetError | BrokenPipeError) for link in chain(error))
    return reset or "closed by server" in str(error)


def _fields_of(flat: Sequence[bytes]) -> dict[str, bytes]:
    return {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}
