"""Kafka and Redis in containers, by testcontainers: a stack for tests and the demo.

Owns the two containers from start to removal, whatever becomes of this process. Knows no compose
file: what is to run for longer is docker-compose.yml's business.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ops.stack.images import KAFKA_IMAGE, REDIS_IMAGE
from ops.stack.kafka_server import new_cluster_id
from ops.stack.processes import HOST
from ops.stack.settings import StackSettings
from ops.stack.topics import Topic, TopicReport, apart, ensure_topics
from schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from ops.stack.containers import ContainerServer


def docker_missing() -> str | None:
    """What keeps a `DockerStack` from running here; None if nothing does.

    Returns
    -------
    str or None
        One line: the package, the engine or an image, and what to do about it.
    """
    try:
        _check()
    except ConfigurationError as error:
        return str(error)
    return None


def _check() -> None:
    try:
        from ops.stack.container_engine import check_engine  # noqa: PLC0415 - needs the docker extra
    except ImportError as error:
        raise ConfigurationError(
            f"Docker needs the Python package {error.name}.",
            hint="Install it: pip install 'everscore[docker]'.",
        ) from None
    check_engine((KAFKA_IMAGE, REDIS_IMAGE))


class DockerStack:
    """A real Apache Kafka and a real Redis in two containers of their own.

    Parameters
    ----------
    topics : iterable of Topic
        To create at `start`.
    kafka_port, redis_port : int, optional
        These of 127.0.0.1 and no others; otherwise any free ones.
    kafka_settings, redis_settings : mapping of str to str
        Lines of server.properties and redis.conf in addition to ours or instead of them.
    machine : StackSettings, optional
        Kafka's heap; from the environment by default.

    Notes
    -----
    The face of `ops.stack.local.LocalStack`. Data lives as long as the stack, through kills and
    restarts of either server; the containers go away with `stop` or with this process.
    """

    def __init__(
        self,
        *,
        topics: Iterable[Topic] = (),
        kafka_port: int | None = None,
        redis_port: int | None = None,
        kafka_settings: Mapping[str, str] | None = None,
        redis_settings: Mapping[str, str] | None = None,
        machine: StackSettings | None = None,
    ) -> None:
        self.topics = tuple(topics)
        self._wanted = {"kafka": kafka_port, "redis": redis_port}
        self._kafka_settings = dict(kafka_settings or {})
        self._redis_settings = dict(redis_settings or {})
        self._heap_mb = (machine or StackSettings()).heap_mb
        self._servers: dict[str, ContainerServer] = {}

    @property
    def kafka(self) -> str:
        """`host:port` of the broker, running or stopped."""
        return f"{HOST}:{self._server('kafka').port}"

    @property
    def redis(self) -> str:
        """URL of the store, running or stopped."""
        return f"redis://{HOST}:{self._server('redis').port}/0"

    def start(self) -> TopicReport:
        """Start both, wait until both answer, and create the topics.

        Returns
        -------
        TopicReport

        Raises
        ------
        ConfigurationError
            testcontainers, the engine or an image is missing, a server does not start, or both run
            already; nothing that this call started is left.
        """
        if self._servers:
            raise ConfigurationError("This Docker stack runs already.", hint="Stop it first.")
        _check()
        from ops.stack.container_engine import remove_orphans  # noqa: PLC0415 - as below

        remove_orphans()
        atexit.register(self.stop)
        with ExitStack() as unless_all_is_well:
            unless_all_is_well.callback(self.stop)
            self._create()
            for server in self._servers.values():
                server.wait()
            report = self.create_topics(self.topics)
            unless_all_is_well.pop_all()
        return report

    def _create(self) -> None:
        from ops.stack import containers  # noqa: PLC0415 - needs the docker extra

        cluster = new_cluster_id()
        self._servers["kafka"] = containers.ContainerServer(
            "kafka",
            lambda port: containers.ApacheKafkaContainer(
                port, self._kafka_settings, cluster, self._heap_mb
            ),
            containers.kafka_answers,
            self._wanted["kafka"],
        )
        self._servers["redis"] = containers.ContainerServer(
            "redis",
            lambda port: containers.DurableRedisContainer(port, self._redis_settings),
            containers.redis_answers,
            self._wanted["redis"],
        )

    def _server(self, name: str) -> ContainerServer:
        try:
            return self._servers[name]
        except KeyError:
            raise ConfigurationError(
                "The Docker stack does not run.", hint="Call start() first."
            ) from None

    def stop(self) -> None:
        """Remove both with their data; stopping twice is harmless."""
        atexit.unregister(self.stop)
        while self._servers:
            _, server = self._servers.popitem()
            server.remove()

    def create_topics(self, topics: Iterable[Topic]) -> TopicReport:
        """Create topics; see `ops.stack.topics.ensure_topics`."""
        return apart(ensure_topics(self.kafka, tuple(topics)))

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic with the broker's settings; creating it again changes nothing."""
        self.create_topics([Topic(name, partitions)])

    def start_kafka(self) -> None:
        """Start Kafka again, where it was, and wait until it answers."""
        self._server("kafka").start()

    def stop_kafka(self) -> None:
        """Stop Kafka cleanly."""
        self._server("kafka").stop()

    def kill_kafka(self) -> None:
        """Kill Kafka: no flush, no goodbye."""
        self._server("kafka").kill()

    def start_redis(self) -> None:
        """Start Redis again, where it was, and wait until it has loaded its data."""
        self._server("redis").start()

    def stop_redis(self) -> None:
        """Stop Redis cleanly."""
        self._server("redis").stop()

    def kill_redis(self) -> None:
        """Kill Redis: what it has answered is with the kernel, save a second at worst."""
        self._server("redis").kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
