"""The servers of a test session: which they are, and why not others.

Chosen once, the first that can be had:

env
    `EVERSCORE_TEST_KAFKA` (host:port,host:port) and `EVERSCORE_TEST_REDIS` (a URL), both or neither.
    What `EVERSCORE_*` says of passwords and certificates holds for them. Topics and keys of the
    session are removed at its end; nothing else is touched.
docker
    Containers: a Docker engine that answers, and images that are there or can be pulled.
local
    `ops.stack.local`: Java 17, Maven the first time, and a redis-server.
embedded
    librdkafka's in-memory broker, for machines that have none of these; tests of what it cannot do
    skip and name the limit.

`EVERSCORE_TEST_SERVICES` names one of the four: that one or none. `REQUIRE_REAL_SERVICES=1`, as in
CI, makes it a failure to end with the in-memory broker. The summary at the end of the run says what
each test ran on, and why it was not what comes first.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import uuid4

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient

from ops.demo_servers import settings_for
from ops.embedded.redis_server import redis_executable
from ops.embedded.stack import EmbeddedStack
from ops.stack.docker import DockerStack
from ops.stack.images import KAFKA_IMAGE
from ops.stack.images.stand_ins import find_image
from ops.stack.java import cached_jars, find_java, find_maven, kafka_version
from ops.stack.local import LocalStack
from ops.stack.settings import StackSettings
from ops.stack.topics import Topic, apart, ensure_topics
from schemas.errors import ConfigurationError, PipelineError
from streams.connections import kafka_access
from streams.settings import Settings
from tests.support.access import librdkafka_access, open_redis
from tests.support.server_facts import kafka_facts, redis_version

CHOICE = "EVERSCORE_TEST_SERVICES"
REQUIRE_REAL = "REQUIRE_REAL_SERVICES"
_SESSION_SECONDS = 3.0  # so long a killed worker's partitions wait for another one


class Kind(StrEnum):
    """In the order of preference."""

    ENV = "env"
    DOCKER = "docker"
    LOCAL = "local"
    EMBEDDED = "embedded"


@dataclass(frozen=True)
class Addresses:
    """Servers of somebody else."""

    kafka: str
    redis: str


Stack = Addresses | DockerStack | LocalStack | EmbeddedStack


class Services:
    """Kafka and Redis of a session, and names of its own on them.

    Attributes
    ----------
    kind : Kind
    names : str
        Versions of both, and what they run on.
    redis_name : str
    refused : tuple of str
        Why what is preferred to this kind could not be had.
    run : str
        Begins every name of the session.
    session_seconds : float
        The shortest session of a worker that the broker grants, and we want.
    """

    def __init__(self, kind: Kind, stack: Stack, refused: Iterable[str] = ()) -> None:
        self.kind = kind
        self.refused = tuple(refused)
        self.run = f"everscore-test-{uuid4().hex[:8]}"
        self._stack = stack
        self._numbers = itertools.count(1)
        self.session_seconds = _SESSION_SECONDS
        settings = self.settings()
        self.redis_name = f"Redis {redis_version(settings)} ({_place(kind)})"
        if kind is Kind.EMBEDDED:
            kafka = f"librdkafka {confluent_kafka.libversion()[0]}'s in-memory broker"
        else:
            release, session_seconds_min = kafka_facts(settings)
            self.session_seconds = max(_SESSION_SECONDS, session_seconds_min)
            kafka = f"Apache Kafka {_recorded_version(stack) or release}"
        self.names = f"{kafka} and {self.redis_name}"

    @property
    def kafka(self) -> str:
        """`host:port` of the broker."""
        return self._stack.kafka

    @property
    def redis(self) -> str:
        """URL of the store."""
        return self._stack.redis

    @property
    def real(self) -> bool:
        """Whether the broker is Apache Kafka."""
        return self.kind is not Kind.EMBEDDED

    def new_name(self) -> str:
        """A name for one test, to begin those of its topics, groups and keys."""
        return f"{self.run}-{next(self._numbers)}"

    def needs_real_kafka(self, limit: str) -> None:
        """Skip the test where the broker is the in-memory one, which has this limit."""
        if not self.real:
            pytest.skip(f"librdkafka's in-memory broker {limit}")

    def settings(self, **more: Any) -> Settings:
        """Settings of an installation on these servers."""
        if self.kind is Kind.ENV:
            return Settings(kafka=self.kafka, redis=self.redis, **more)
        return settings_for(self.kafka, self.redis, **more)

    def create_topics(self, topics: Iterable[Topic]) -> None:
        """Create topics with the settings they are declared with, where the broker knows any."""
        if isinstance(self._stack, EmbeddedStack):
            for topic in topics:
                self._stack.create_topic(topic.name, topic.partitions)
            return
        apart(ensure_topics(self.kafka, topics, kafka_access(self.settings())))

    def client(self, **more: Any) -> dict[str, Any]:
        """Configuration of a librdkafka client."""
        dots = {name.replace("_", "."): value for name, value in more.items()}
        servers = {"bootstrap.servers": self.kafka, "log_level": 0}
        return servers | librdkafka_access(self.settings()) | dots

    def restartable(self) -> LocalStack | DockerStack:
        """The servers, to be stopped and killed; skips the test where that cannot be."""
        if isinstance(self._stack, Addresses):
            pytest.skip("the servers are somebody else's: not ours to stop")
        if isinstance(self._stack, EmbeddedStack):
            pytest.skip("librdkafka's in-memory broker forgets everything when it stops")
        return self._stack

    @contextmanager
    def without_kafka(self) -> Iterator[None]:
        """No broker meanwhile, as if it had crashed."""
        if isinstance(self._stack, Addresses):
            pytest.skip("the broker is somebody else's: not ours to kill")
        self._stack.kill_kafka()
        try:
            yield
        finally:
            self._stack.start_kafka()

    def tidy(self) -> None:
        """Remove the session's topics and keys from servers that outlive it."""
        if isinstance(self._stack, Addresses):
            admin = AdminClient(self.client())
            topics = [name for name in admin.list_topics(timeout=30).topics if self.owns(name)]
            if topics:
                for done in admin.delete_topics(topics, operation_timeout=30).values():
                    done.result()
            with open_redis(self.settings()) as client:
                for key in client.scan_iter(f"{self.run}*", count=1_000):
                    client.unlink(key)

    def owns(self, name: str) -> bool:
        """Whether a topic, group or key is the session's."""
        return name.startswith(self.run)


def _recorded_version(stack: Stack) -> str | None:
    """Kafka's whole version where the stack knows what it has started; a broker does not tell."""
    if isinstance(stack, LocalStack):
        return stack.status()[0].version
    return kafka_version() if isinstance(stack, DockerStack) else None


def _place(kind: Kind) -> str:
    if kind is Kind.ENV:
        return "addresses in the environment"
    if kind is Kind.DOCKER:
        with suppress(ConfigurationError):  # no docker command to ask with
            image = find_image(KAFKA_IMAGE)
            if image is not None and image.stand_in:
                return "Docker, stand-in images"
        return "Docker"
    return f"{kind} stack"


def local_machine() -> StackSettings:
    """This machine, if the local stack can run on it.

    Raises
    ------
    ConfigurationError
        Names what is missing.
    """
    settings = StackSettings()
    find_java(settings.java_home)
    if cached_jars(settings.cache) is None:
        find_maven()
    redis_executable()
    return settings


def _addresses(environment: Mapping[str, str], _until: ExitStack) -> Stack:
    kafka, url = (environment.get(f"EVERSCORE_TEST_{name}") for name in ("KAFKA", "REDIS"))
    if kafka is None or url is None:
        raise ConfigurationError("EVERSCORE_TEST_KAFKA and EVERSCORE_TEST_REDIS are not set.")
    return Addresses(kafka, url)


def _docker(_environment: Mapping[str, str], until: ExitStack) -> Stack:
    return until.enter_context(DockerStack())


def _local(_environment: Mapping[str, str], until: ExitStack) -> Stack:
    return until.enter_context(LocalStack(machine=local_machine()))


def _embedded(_environment: Mapping[str, str], until: ExitStack) -> Stack:
    return until.enter_context(EmbeddedStack())


Opener = Callable[[Mapping[str, str], ExitStack], Stack]
OPENERS: dict[Kind, Opener] = {
    Kind.ENV: _addresses,
    Kind.DOCKER: _docker,
    Kind.LOCAL: _local,
    Kind.EMBEDDED: _embedded,
}


@contextmanager
def open_services(environment: Mapping[str, str]) -> Iterator[Services]:
    """The servers for a session, stopped at its end.

    Raises
    ------
    ConfigurationError
        None can be had, or none that is real and has to be; says why of each kind.
    """
    refused: list[str] = []
    for kind in wanted(environment):
        with ExitStack() as until:
            try:
                services = Services(kind, OPENERS[kind](environment, until), refused)
            except PipelineError as error:
                refused.append(f"{kind}: {error}")
                continue
            yield services
            services.tidy()
            return
    raise ConfigurationError("No servers to test on. " + " ".join(refused))


def wanted(environment: Mapping[str, str]) -> tuple[Kind, ...]:
    """Kinds of servers to try, in this order.

    Raises
    ------
    ConfigurationError
        The environment contradicts itself.
    """
    choice = environment.get(CHOICE)
    real = environment.get(REQUIRE_REAL) == "1"
    given = [name for name in ("KAFKA", "REDIS") if environment.get(f"EVERSCORE_TEST_{name}")]
    if len(given) == 1:
        raise ConfigurationError(
            f"EVERSCORE_TEST_{given[0]} is set, its other half is not.",
            hint="Give both or neither.",
        )
    if choice is not None:
        if choice not in set(Kind):
            raise ConfigurationError(f"{CHOICE}={choice!r} is none of {', '.join(Kind)}.")
        if real and choice == Kind.EMBEDDED:
            raise ConfigurationError(f"{CHOICE}=embedded, but {REQUIRE_REAL}=1.")
        return (Kind(choice),)
    if given:
        return (Kind.ENV,)  # whoever names servers means them: no others if they do not answer
    unwanted = {Kind.ENV, Kind.EMBEDDED} if real else {Kind.ENV}
    return tuple(kind for kind in Kind if kind not in unwanted)
