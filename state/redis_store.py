"""The store in Redis: one atomic script per slice, one round trip per load."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.resources import files

from schemas.errors import ConfigurationError, FencedError
from scoring.states import NEVER_US
from state.checkpoints import (
    read_checkpoint,
    rebuilding,
    refusal,
    taken,
)
from state.codec import Row
from state.fields import FIELDS
from state.glimpse import glimpse_commands, read_glimpse
from state.inspection import RedisFacts, RedisInspection
from state.keys import Keys
from state.redis_access import RedisAccess
from state.redis_link import RedisLink
from state.redis_script import RedisScript
from state.rows import CustomerRows
from state.slice_arguments import slice_arguments, slice_keys
from state.store import Checkpoint, Fields, Glimpse, SliceCommit, Tombstone

OLDEST_VERSION = (6, 2)
_RESTORES_SINCE = (7, 0)  # a hash in the form in which `state._hashes` writes it


def _script(name: str) -> str:
    return (files("state") / "scripts" / f"{name}.lua").read_text(encoding="utf-8")


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
        self._link = RedisLink(url, access or RedisAccess())
        self._redis, self._reachable = self._link.client, self._link.reachable
        self._restores: bool | None = None  # not asked yet
        # What comes with every slice goes along the lane; the rest is seldom asked for.
        self._commit = RedisScript(self._redis, self._link.lane, _script("commit_slice"))
        self._acquire = self._redis.register_script(_script("acquire"))
        self._reserve = self._redis.register_script(_script("reserve"))
        self._forget = self._redis.register_script(_script("forget"))
        self._load = RedisScript(self._redis, self._link.lane, _script("load_many"))

    async def check(self) -> None:
        """See `Store.check`."""
        info = await self._link.info()
        version = _version_of(info)
        if version is None or version < OLDEST_VERSION:
            raise ConfigurationError(
                f"{self._link.server} is version {info.get('redis_version', 'unknown')}.",
                hint="6.2 or later is needed.",
            )
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise ConfigurationError(
                f"{self._link.server} has maxmemory-policy {policy}: it may evict customers.",
                hint="Set maxmemory-policy noeviction.",
            )

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
            found = await self._acquire(
                keys=[self._keys.partition(partition), self._keys.rebuild(partition)],
                args=[owner, token],
            )
        if isinstance(found, bytes):
            raise rebuilding(partition, found.decode())
        return read_checkpoint(_fields_of(found))

    async def reserve(self, partition: int, owner: str, seconds: float) -> str:
        """See `Store.reserve`."""
        async with self._reachable():
            reserved = await self._reserve(
                keys=[self._keys.rebuild(partition)], args=[owner, round(seconds * 1000)]
            )
        return str(reserved.decode())

    async def forget(
        self,
        partition: int,
        owned: Checkpoint,
        customer_ids: Sequence[str],
        tombstones: Sequence[str] = (),
    ) -> None:
        """See `Store.forget`."""
        # No id is refused here: one that may not be a key, and somehow is, has to go as well.
        async with self._reachable():
            done = await self._forget(
                keys=[
                    self._keys.partition(partition),
                    self._keys.due(partition),
                    self._keys.tombstones(partition),
                ],
                args=[
                    self._keys.customer_prefix(partition),
                    owned.epoch,
                    owned.token,
                    len(customer_ids),
                    *customer_ids,
                    *tombstones,
                ],
            )
        if not done:
            raise taken(partition, await self.checkpoint(partition))

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

    async def glimpse(self, partition: int, customer_id: str) -> Glimpse:
        """See `Store.glimpse`."""
        commands = glimpse_commands(self._keys, partition, customer_id)
        async with self._reachable():
            row, clock = await self._link.lane.ask(commands, 2)
        return read_glimpse(row, clock)

    async def commit_slice(self, commit: SliceCommit) -> str:
        """See `Store.commit_slice`."""
        partition = commit.partition
        whole = await self._whole_hashes(commit.rows)
        async with self._reachable():
            done, result = await self._commit(
                keys=slice_keys(self._keys, partition),
                args=slice_arguments(self._keys, commit, whole),
            )
        if not done:
            held = read_checkpoint(_fields_of(result))
            raise refusal(partition, held, commit.before) or FencedError(f"partition {partition}")
        return str(result.decode())

    async def _whole_hashes(self, rows: Sequence[Row]) -> list[bytes] | None:
        """Customers as RESTORE takes them, at a third of the cost; None where they go field by field."""
        if not rows or not isinstance(rows, CustomerRows):
            return None
        if self._restores is None:
            version = _version_of(await self._link.info())
            self._restores = version is not None and version >= _RESTORES_SINCE
        return rows.whole_hashes() if self._restores else None

    async def tombstones(self, partition: int) -> dict[str, Tombstone]:
        """See `Store.tombstones`."""
        async with self._reachable():
            found = await self._redis.hgetall(self._keys.tombstones(partition))
        return {name.decode(): Tombstone(*map(int, value.split())) for name, value in found.items()}

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
        first_kept = f"{milliseconds}-{int(counter) + 1}"
        async with self._reachable():
            await self._link.lane.command(
                "XTRIM", self._keys.outbox(partition), "MINID", "=", first_kept
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

    async def save_learning(self, body: bytes) -> None:
        """See `Store.save_learning`."""
        async with self._reachable():
            await self._redis.set(self._keys.learning, body)

    async def learning(self) -> bytes | None:
        """See `Store.learning`."""
        async with self._reachable():
            body: bytes | None = await self._redis.get(self._keys.learning)
        return body

    async def rebuilt(self) -> set[int]:
        """Partitions that an unfinished rebuild is through with."""
        async with self._reachable():
            found = await self._redis.get(self._keys.rebuilt)
        return {int(partition) for partition in found.split()} if found else set()

    async def note_rebuilt(self, partitions: Collection[int], seconds: float) -> None:
        """Remember them for a while; none: forget all."""
        text = " ".join(map(str, sorted(partitions)))
        async with self._reachable():
            if text:
                await self._redis.set(self._keys.rebuilt, text, px=round(seconds * 1000))
            else:
                await self._redis.delete(self._keys.rebuilt)

    async def close(self) -> None:
        """See `Store.close`."""
        await self._link.close()


def _version_of(info: Mapping[str, object]) -> tuple[int, ...] | None:
    found = re.match(r"(\d+)\.(\d+)", str(info.get("redis_version", "")))
    return None if found is None else tuple(map(int, found.groups()))


def _fields_of(flat: Sequence[bytes]) -> dict[str, bytes]:
    return {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}
