"""One contender at work: a Redis, topics and a process of its own, and how far it is.

Owns their life and the questions to Redis, cheap enough to be asked a hundred times a second.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from redis import Redis

from ops.bench.baselines.task import COUNTED
from ops.bench.contenders import EVERSCORE, Contender, Engines
from ops.bench.evidence import pages
from ops.bench.job import PARTITIONS
from ops.bench.servers import Broker, changes_partitions
from ops.bench.usage import Usage, usage_of
from ops.demo_servers import settings_for
from ops.embedded.redis_server import EmbeddedRedis
from ops.stack.topics import declared_topics
from schemas.errors import ConfigurationError
from streams.settings import Settings

# Learning is off, as it is in all that Everscore is compared with: then the log alone decides every
# change, and an oracle can say what each must be. Everything else is as it comes.
NEVER_LEARN = 10**9
_END_SECONDS_MAX = 30.0
_LOG_LINES = 5
_SAMPLE = 2_000


@dataclass(frozen=True, slots=True)
class Uses:
    """What worker, Redis and broker have taken until now."""

    worker: Usage
    redis: Usage
    broker: Usage


class Installation:
    """Use `installed` to have one.

    Attributes
    ----------
    settings : Settings
        Of Everscore; the others are told the names in it.
    redis : Redis
        A client of its own Redis.
    """

    def __init__(
        self,
        contender: Contender,
        broker: Broker,
        server: EmbeddedRedis,
        settings: Settings,
        engines: Engines,
        folder: Path,
    ) -> None:
        self.contender = contender
        self.broker = broker
        self.settings = settings
        self.redis = Redis.from_url(server.url)
        self._server = server
        self._engines = engines
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """One more process of the contender."""
        port = urlsplit(self.settings.redis).port or 0
        self._processes.append(
            self._engines.start(self.contender, self.settings, port, self._folder)
        )

    def check(self) -> None:
        """Raise if the contender has ended.

        Raises
        ------
        ConfigurationError
            Names the exit code and the end of its log.
        """
        for process in self._processes:
            code = process.poll()
            if code is not None:
                raise ConfigurationError(
                    f"{self.contender.name} ended with code {code}: {self.log()}"
                )

    def log(self) -> str:
        """The end of what the contender said."""
        said = (self._folder / "log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(said.strip().splitlines()[-_LOG_LINES:]) or "it said nothing."

    def counted(self) -> int:
        """How many purchases are in Redis."""
        if self.contender is not EVERSCORE:
            found: Any = self.redis.get(COUNTED)
            return int(found or 0)
        field = f"next_offset:{self.settings.transactions_topic}"
        keys = self.settings.keys
        with self.redis.pipeline(transaction=False) as pipe:
            for partition in range(PARTITIONS):
                pipe.hget(keys.partition(partition), field)
            return sum(int(offset or 0) for offset in pipe.execute())

    def owners(self) -> int:
        """How many of Everscore's workers own partitions."""
        keys = self.settings.keys
        with self.redis.pipeline(transaction=False) as pipe:
            for partition in range(PARTITIONS):
                pipe.hget(keys.partition(partition), "owner")
            return len({owner for owner in pipe.execute() if owner})

    def published(self) -> bool:
        """Whether nothing that is in Redis still waits to be told."""
        if self.contender is not EVERSCORE:
            return True  # nothing in Redis knows; it was handed to a producer
        return not any(
            self.redis.xlen(self.settings.keys.outbox(partition)) for partition in range(PARTITIONS)
        )

    def settled(self) -> bool:
        """Whether silence, too, has done all that was due by the log's last purchase."""
        if self.contender is not EVERSCORE:
            return True
        keys = self.settings.keys
        for partition in range(PARTITIONS):
            clock: Any = self.redis.hget(keys.partition(partition), "stream_time")
            if clock and self.redis.zcount(keys.due(partition), "-inf", _seconds(clock.decode())):
                return False
        return self.published()

    def uses(self) -> Uses:
        """What everybody has taken until now."""
        self.check()
        workers = [usage_of(process.pid) for process in self._processes]
        together = Usage(
            sum(worker.cpu_seconds for worker in workers), sum(w.peak_mb for w in workers)
        )
        return Uses(together, usage_of(self._server.pid), usage_of(self.broker.pid))

    def redis_mb(self) -> float:
        """Megabytes of Redis, as it counts them."""
        info: Any = self.redis.info("memory")
        return float(info["used_memory"]) / 2**20

    def customer_bytes(self) -> tuple[float, float]:
        """Bytes of Redis for the median customer and for the mean one, all in.

        All in: with a customer's share of everything that is no customer's, such as the due queue.
        """
        info: Any = self.redis.info("memory")
        count = 0
        sizes: list[int] = []
        for names in pages(self.redis):
            count += len(names)
            if len(sizes) < _SAMPLE:  # a page is a random sample: SCAN goes by hash
                with self.redis.pipeline(transaction=False) as pipe:
                    for name in names:
                        pipe.memory_usage(name, samples=0)
                    sizes += pipe.execute()
        if not sizes:
            return 0.0, 0.0
        mean = (info["used_memory"] - info["used_memory_startup"]) / count
        return median(sizes) - sum(sizes) / len(sizes) + mean, mean

    def end(self) -> None:
        """Let the contender end cleanly: what it has in hand goes out."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(_END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Nothing is counted meanwhile; for less than a session, or Kafka calls it dead."""
        for process in self._processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in self._processes:
                process.send_signal(signal.SIGCONT)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


@contextmanager
def installed(
    contender: Contender,
    broker: Broker,
    engines: Engines,
    topic: str,
    name: str,
    *,
    workers: int = 1,
    **more: Any,
) -> Iterator[Installation]:
    """A contender that reads a topic, with all that it needs.

    Parameters
    ----------
    topic : str
        Of purchases; there already.
    name : str
        Begins all its other names on the broker; no run's before.
    workers : int
        Processes of it.
    **more
        Settings of Everscore.
    """
    with EmbeddedRedis() as server, tempfile.TemporaryDirectory(prefix="everscore-bench-") as made:
        folder = Path(made)
        settings = _settings(broker, server.url, topic, name, more)
        _create_topics(broker, settings, contender)
        installation = Installation(contender, broker, server, settings, engines, folder)
        try:
            for _ in range(workers):
                installation.start()
            yield installation
        finally:
            installation.end()
            installation.redis.close()


def _settings(broker: Broker, redis: str, topic: str, name: str, more: dict[str, Any]) -> Settings:
    names = {
        field: f"{name}.{declared.default}"
        for field, declared in Settings.model_fields.items()
        if field.endswith("_topic") and field != "transactions_topic"
    }
    own = {"group": name, "transactions_topic": topic, "first_fit_customers": NEVER_LEARN}
    return settings_for(broker.address, redis, **(own | names | more))


def _create_topics(broker: Broker, settings: Settings, contender: Contender) -> None:
    changes = settings.changes_topic
    partitions = changes_partitions(broker.kind)
    broker.create(
        replace(topic, partitions=partitions) if topic.name == changes else topic
        for topic in declared_topics(settings, PARTITIONS)
        if topic.name != settings.transactions_topic
        and (contender is EVERSCORE or topic.name == changes)
    )
