"""One row's installation: topics, group and keys of its own on the Kafka of all rows, its own Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from redis.exceptions import RedisError

from ops.demo_servers import settings_for
from ops.oracle.fields import micros
from ops.stack.topics import apart, declared_topics, ensure_topics
from streams.settings import Settings
from tests.chaos.kafka import ChaosKafka
from tests.chaos.redis_server import ChaosRedis

PARTITIONS = 6
NEVER_LEARN = 10**9  # a first scorecard needs so many customers: the oracle knows one scorecard


@dataclass(frozen=True, slots=True)
class Position:
    """Where a partition stands by its checkpoint."""

    offset: int
    owner: str


class Place:
    """Topics, keys and settings of a row.

    Parameters
    ----------
    name : str
        Begins all its names.
    kafka : ChaosKafka
    redis : ChaosRedis
        The primary; another one once it has been promoted.
    session_seconds : float
        Silence after which Kafka calls a worker dead.
    settings : of the installation, in addition
    """

    def __init__(
        self,
        name: str,
        kafka: ChaosKafka,
        redis: ChaosRedis,
        session_seconds: float,
        **settings: object,
    ) -> None:
        self.kafka = kafka
        self.redis = redis
        topics = {
            field: f"{name}.{declared.default}"
            for field, declared in Settings.model_fields.items()
            if field.endswith("_topic")
        }
        self.settings = settings_for(
            kafka.address,
            self.redis_url,
            group=name,
            key_prefix=f"{name}:",
            session_timeout_seconds=session_seconds,
            **{"first_fit_customers": NEVER_LEARN} | topics | settings,
        )
        self.prefix = self.settings.key_prefix
        self.topic = self.settings.transactions_topic

    @property
    def redis_url(self) -> str:
        """Of the primary."""
        return f"redis://127.0.0.1:{self.redis.port}/0"

    async def prepare(self) -> None:
        """Create the topics."""
        declared = declared_topics(self.settings, PARTITIONS)
        await asyncio.to_thread(lambda: apart(ensure_topics(self.kafka.address, declared)))

    async def positions(self) -> dict[int, Position] | None:
        """Where every partition stands; None while Redis is away."""
        pipeline = self.redis.client.pipeline(transaction=False)
        for partition in range(PARTITIONS):
            key = f"{self.prefix}partition:{partition}"
            pipeline.hmget(key, f"next_offset:{self.topic}", "owner")
        try:
            rows: Sequence[Sequence[bytes | None]] = await pipeline.execute()
        except (RedisError, OSError):
            return None
        return {
            partition: Position(int(offset or 0), (owner or b"").decode())
            for partition, (offset, owner) in enumerate(rows)
        }

    async def commits(self, redis: ChaosRedis) -> int:
        """How many commits a server has seen of all partitions."""
        keys = [f"{self.prefix}partition:{partition}" for partition in range(PARTITIONS)]
        held = [await redis.client.hget(key, "commits") for key in keys]
        return sum(int(commits or 0) for commits in held)

    async def is_settled(self) -> bool:
        """Whether everything committed is published and nobody is due by their partition's clock."""
        for partition in range(PARTITIONS):
            if await self.redis.client.xlen(f"{self.prefix}outbox:{partition}"):
                return False
            clock = await self.redis.client.hget(
                f"{self.prefix}partition:{partition}", "stream_time"
            )
            until = micros((clock or b"").decode())
            due = f"{self.prefix}due:{partition}"
            if until is not None and await self.redis.client.zcount(due, "-inf", until / 1e6):
                return False
        return True
