"""The store in Redis: one atomic script per slice, one round trip per load."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import (
    BusyLoadingError,
    ReadOnlyError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from schemas.errors import ConfigurationError, FencedError, StoreUnavailableError, shown
from scoring.states import NEVER_US
from state.checkpoints import checkpoint_fields, offset_fields, read_checkpoint
from state.fields import FIELDS
from state.keys import Keys
from state.store import Checkpoint, Fields, SliceCommit

OLDEST_VERSION = (6, 2)


def _script(name: str) -> str:
    return (files("state") / "scripts" / f"{name}.lua").read_text(encoding="utf-8")


@asynccontextmanager
async def _reachable(url: str) -> AsyncIterator[None]:
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, BusyLoadingError, ReadOnlyError) as error:
        raise StoreUnavailableError(f"Redis at {url} does not answer: {error}") from error


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """Who we are to Redis, and how we know that it is Redis; what the URL says comes first.

    Attributes
    ----------
    username, password : str, optional
        Of an ACL user; a password alone is that of the user `default`.
    ca : Path, optional
        PEM; who vouches for the server of a rediss:// URL, else whom this machine trusts.
    certificate, key : Path, optional
        PEM; our own for mTLS, both or neither.
    key_password : str, optional
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: str | None = field(default=None, repr=False)

    def arguments(self, *, tls: bool) -> dict[str, Any]:
        """Keyword arguments of the client."""
        arguments: dict[str, Any] = {"username": self.username, "password": self.password}
        if tls:
            arguments |= {
                "ssl_check_hostname": True,  # not the default before redis-py 6
                "ssl_ca_certs": None if self.ca is None else str(self.ca),
                "ssl_certfile": None if self.certificate is None else str(self.certificate),
                "ssl_keyfile": None if self.key is None else str(self.key),
                # Always a password: OpenSSL would ask for one on the terminal.
                "ssl_password": self.key_password or "",
            }
        return arguments


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
            url, socket_timeout=10, socket_connect_timeout=5, **arguments
        )
        self._name = url.rpartition("@")[2]  # without the password
        self._commit = self._redis.register_script(_script("commit_slice"))
        self._acquire = self._redis.register_script(_script("acquire"))
        self._load = self._redis.register_script(_script("load_many"))

    async def check(self) -> None:
        """See `Store.check`."""
        async with _reachable(self._name):
            info = await self._redis.info()  # naming sections needs Redis 7
        version = str(info["redis_version"])
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERSION:
            raise ConfigurationError(
                f"Redis at {self._name} is version {version}.", hint="6.2 or later is needed."
            )
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise ConfigurationError(
                f"Redis at {self._name} has maxmemory-policy {policy}: it may evict customers.",
                hint="Set maxmemory-policy noeviction.",
            )

    async def acquire(self, partition: int, owner: str) -> Checkpoint:
        """See `Store.acquire`."""
        async with _reachable(self._name):
            flat = await self._acquire(keys=[self._keys.partition(partition)], args=[owner])
        return read_checkpoint(_fields_of(flat))

    async def checkpoint(self, partition: int) -> Checkpoint:
        """See `Store.checkpoint`."""
        async with _reachable(self._name):
            fields = await self._redis.hgetall(self._keys.partition(partition))
        return read_checkpoint({name.decode(): value for name, value in fields.items()})

    async def load_many(self, partition: int, customer_ids: Sequence[str]) -> list[Fields | None]:
        """See `Store.load_many`."""
        if not customer_ids:
            return []
        for customer_id in customer_ids:
            self._keys.customer(partition, customer_id)  # refuses what may not become a key
        async with _reachable(self._name):
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
                "expected": offset_fields(commit.before),
                "checkpoint": checkpoint_fields(commit.after),
                "fields": commit.fields,
                "ids": commit.customer_ids,
                "rows": [row[:-1] for row in commit.rows] if packed else commit.rows,
                "due": ["+inf" if at == float("inf") else repr(at) for at in commit.due_at],
            }
        )
        ledgers = [row[-1] for row in commit.rows] if packed else []
        async with _reachable(self._name):
            done, result = await self._commit(
                keys=[keys.partition(partition), keys.outbox(partition), keys.due(partition)],
                args=[
                    commit.before.epoch,
                    keys.customer_prefix(partition),
                    payload,
                    commit.outbox,
                    *ledgers,
                ],
            )
        if not done:
            held = read_checkpoint(_fields_of(result))
            raise FencedError(
                f"partition {partition} is at epoch {held.epoch}, offsets {dict(held.next_offsets)} "
                f"(owner {shown(held.owner)}), not at epoch {commit.before.epoch}, "
                f"offsets {dict(commit.before.next_offsets)}"
            )
        return str(result.decode())

    async def due(self, partition: int, until_us: int, limit: int) -> list[str]:
        """See `Store.due`."""
        async with _reachable(self._name):
            ids = await self._redis.zrangebyscore(
                self._keys.due(partition), "-inf", repr(until_us / 1e6), start=0, num=limit
            )
        return [customer_id.decode() for customer_id in ids]

    async def next_due_us(self, partition: int) -> int:
        """See `Store.next_due_us`."""
        async with _reachable(self._name):
            first = await self._redis.zrange(self._keys.due(partition), 0, 0, withscores=True)
        if not first or first[0][1] == float("inf"):
            return NEVER_US
        return round(float(first[0][1]) * 1e6)

    async def customers(self, partition: int, cursor: int, count: int) -> tuple[int, list[str]]:
        """See `Store.customers`."""
        async with _reachable(self._name):
            cursor, page = await self._redis.zscan(
                self._keys.due(partition), cursor=cursor, count=count
            )
        return int(cursor), [customer_id.decode() for customer_id, _ in page]

    async def outbox(self, partition: int, after: str, count: int) -> list[tuple[str, bytes]]:
        """See `Store.outbox`."""
        async with _reachable(self._name):
            entries = await self._redis.xrange(
                self._keys.outbox(partition), min=f"({after}" if after else "-", count=count
            )
        return [(entry.decode(), fields[b"messages"]) for entry, fields in entries]

    async def trim_outbox(self, partition: int, through: str) -> None:
        """See `Store.trim_outbox`."""
        milliseconds, _, counter = through.partition("-")
        async with _reachable(self._name):
            await self._redis.xtrim(
                self._keys.outbox(partition),
                minid=f"{milliseconds}-{int(counter) + 1}",
                approximate=False,
            )

    async def installation(self) -> dict[str, str]:
        """See `Store.installation`."""
        async with _reachable(self._name):
            facts = await self._redis.hgetall(self._keys.installation)
        return {name.decode(): value.decode() for name, value in facts.items()}

    async def found(self, facts: Mapping[str, str]) -> dict[str, str]:
        """See `Store.found`."""
        pipeline = self._redis.pipeline(transaction=True)
        for name, value in facts.items():
            pipeline.hsetnx(self._keys.installation, name, value)
        async with _reachable(self._name):
            await pipeline.execute()
        return await self.installation()

    async def save_scorecard(self, version: str, body: bytes, *, current: bool) -> None:
        """See `Store.save_scorecard`."""
        async with _reachable(self._name):
            await self._redis.hsetnx(self._keys.scorecards, version, body)
            if current:
                await self._redis.set(self._keys.current_scorecard, version)

    async def scorecards(self) -> dict[str, bytes]:
        """See `Store.scorecards`."""
        async with _reachable(self._name):
            cards = await self._redis.hgetall(self._keys.scorecards)
        return {version.decode(): body for version, body in cards.items()}

    async def current_scorecard(self) -> str | None:
        """See `Store.current_scorecard`."""
        async with _reachable(self._name):
            version = await self._redis.get(self._keys.current_scorecard)
        return None if version is None else str(version.decode())

    async def close(self) -> None:
        """See `Store.close`."""
        await self._redis.aclose()


def _fields_of(flat: Sequence[bytes]) -> dict[str, bytes]:
    return {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}
