"""Kafka and Redis as testcontainers' modules, for the images that docker-compose.yml names.

Needs the docker extra. Owns what each container is told, which port of this machine reaches it, and
its life from creation to removal.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Self, cast

from aiokafka.errors import KafkaError
from docker.errors import APIError
from testcontainers.community.kafka import KafkaContainer
from testcontainers.community.redis import RedisContainer
from testcontainers.core.container import DockerContainer

from ops.redis_settings import KEEPS_ALL, as_arguments
from ops.stack.container_engine import owner_labels
from ops.stack.doors import OpenDoor
from ops.stack.images import KAFKA_IMAGE, REDIS_IMAGE
from ops.stack.kafka_server import ONE_NODE, complaint_in
from ops.stack.processes import HOST, POLL_SECONDS, choose_port
from ops.stack.redis_server import info
from ops.stack.topics import apart, cluster_id
from schemas.errors import ConfigurationError

_START_SECONDS_MAX = 120.0  # Kafka formats and starts in 5 s on two idle cores
_STOP_SECONDS_MAX = 30
_HELLO_SECONDS_MAX = 2.0
_PORT_TRIES_MAX = 5  # another process may take a port between our choice and our use of it
_LOG_LINES_MAX = 200

_KAFKA_PORT, _INSIDE_PORT, _CONTROLLER_PORT = 9092, 19092, 9093
_REDIS_PORT = 6379

# The shortest request there is: ApiVersions, version 0, correlation id 1, no client id.
_HELLO = bytes.fromhex("0000000a 0012 0000 00000001 ffff")

# The node listens everywhere in its container; the machine reaches the one port it publishes.
_LISTENERS = {
    "listeners": f"HOST://:{_KAFKA_PORT},INSIDE://:{_INSIDE_PORT},CONTROLLER://:{_CONTROLLER_PORT}",
    "listener.security.protocol.map": "HOST:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "INSIDE",
    "controller.quorum.voters": f"1@localhost:{_CONTROLLER_PORT}",
    "log.dirs": "/var/lib/kafka/data",
}


def kafka_variable(name: str) -> str:
    """The environment variable by which the image takes a setting of server.properties.

    Examples
    --------
    >>> kafka_variable("log.retention.ms")
    'KAFKA_LOG_RETENTION_MS'
    """
    return "KAFKA_" + name.replace("_", "__").replace("-", "___").replace(".", "_").upper()


class ApacheKafkaContainer(KafkaContainer):
    """testcontainers' Kafka, for the image that the Apache project publishes.

    Parameters
    ----------
    port : int
        Of this machine; the node advertises it, so it is known before the start and stays.
    settings : mapping of str to str
        Of server.properties, in addition to ours or instead of them.
    cluster_id : str
        As `new_cluster_id` makes them.
    heap_mb : int
        Of the Java heap.
    """

    def __init__(
        self, port: int, settings: Mapping[str, str], cluster_id: str, heap_mb: int
    ) -> None:
        super().__init__(KAFKA_IMAGE, port=_KAFKA_PORT)
        advertised = f"HOST://{HOST}:{port},INSIDE://localhost:{_INSIDE_PORT}"
        every = ONE_NODE | _LISTENERS | {"advertised.listeners": advertised} | {**settings}
        # Instead of the base class's, which are for Confluent's image.
        self.env = {kafka_variable(name): value for name, value in every.items()} | {
            "CLUSTER_ID": cluster_id,
            "KAFKA_HEAP_OPTS": f"-Xmx{heap_mb}m",
        }
        self.ports = _published(_KAFKA_PORT, port)

    def start(self, timeout: int = 0) -> Self:
        """Start the container; unlike the base class, without Confluent's start script."""
        return DockerContainer.start(self)


class DurableRedisContainer(RedisContainer):
    """testcontainers' Redis with every write in its append-only file, nothing ever evicted.

    Parameters
    ----------
    port : int
        Of this machine.
    settings : mapping of str to str
        Of redis.conf, in addition to ours or instead of them.
    """

    def __init__(self, port: int, settings: Mapping[str, str]) -> None:
        super().__init__(REDIS_IMAGE, port=_REDIS_PORT)
        own = {"bind": "*", "protected-mode": "no", "dir": "/data"}
        self.with_command(["redis-server", *as_arguments(KEEPS_ALL | own | {**settings})])
        self.ports = _published(_REDIS_PORT, port)
        self._wait_strategy = None


def _published(inside: int, port: int) -> dict[str, int | None]:
    """A port of 127.0.0.1 only: servers without passwords are nobody else's business."""
    # testcontainers' type knows numbers only, the engine's client that it hands this to pairs too.
    return cast(dict[str, int | None], {f"{inside}/tcp": cast(Any, (HOST, port))})


class ContainerServer:
    """A server in a container: created once, then started, stopped and killed at will.

    Parameters
    ----------
    name : str
        For messages.
    make : callable
        The container for a port of this machine.
    answers : callable
        Whether the server answers on that port.
    port : int, optional
        This one and no other; otherwise any free one.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[int], DockerContainer],
        answers: Callable[[int], bool],
        port: int | None,
    ) -> None:
        self._name = name
        self._answers = answers
        self.port, self._container = self._create(make, port)

    def _create(
        self, make: Callable[[int], DockerContainer], wanted: int | None
    ) -> tuple[int, DockerContainer]:
        for tries_left in reversed(range(_PORT_TRIES_MAX)):
            port = choose_port(wanted)
            container = make(port).with_kwargs(labels=owner_labels())
            try:
                return port, container.start()
            except APIError as error:
                container.stop()
                said = str(error.explanation or error)
                taken = "port is already allocated" in said or "address already in use" in said
                if not taken or wanted is not None or not tries_left:
                    raise ConfigurationError(f"Docker did not start {self._name}: {said}") from None
        raise AssertionError("unreachable: the last try returns or raises")

    def wait(self) -> None:
        """Wait until the server answers.

        Raises
        ------
        ConfigurationError
            It ended or did not answer in time; the message ends its log.
        """
        deadline = time.monotonic() + _START_SECONDS_MAX
        while not self._answers(self.port):
            if not self._runs() or time.monotonic() > deadline:
                said = self._wrapped.logs(tail=_LOG_LINES_MAX).decode(errors="replace")
                raise ConfigurationError(
                    f"{self._name} did not start in its container: {complaint_in(said)}"
                )
            time.sleep(POLL_SECONDS)

    @property
    def _wrapped(self) -> Any:
        return self._container.get_wrapped_container()

    def _runs(self) -> bool:
        self._container.reload()
        return self._container.status == "running"

    def start(self) -> None:
        """Start the server again, where it was, and wait until it answers."""
        self._wrapped.start()
        self.wait()

    def stop(self) -> None:
        """Ask the server to end, and wait until it has."""
        self._wrapped.stop(timeout=_STOP_SECONDS_MAX)

    def kill(self) -> None:
        """End the server this moment."""
        if self._runs():
            self._wrapped.kill()
            self._wrapped.wait()

    def remove(self) -> None:
        """Remove the container with its data, in whatever state it is."""
        self._container.stop(force=True, delete_volume=True)


def kafka_answers(port: int) -> bool:
    """Whether a broker on a port of this machine does what it is asked."""
    try:
        # A client of Kafka's would log an error each time that it does not yet.
        with socket.create_connection((HOST, port), timeout=_HELLO_SECONDS_MAX) as connection:
            connection.sendall(_HELLO)
            if not connection.recv(1):
                return False
        return apart(cluster_id(f"{HOST}:{port}")) is not None
    except (KafkaError, OSError):
        return False


def redis_answers(port: int) -> bool:
    """Whether a Redis on a port of this machine answers and has loaded its data."""
    return info(port, OpenDoor()).get("loading") == "0"
