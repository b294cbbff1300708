"""Kafka and Redis of one folder, started and stopped together or one by one.

Owns the folder, its ports and the order of things; what `everscore stack` and the tests call.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ops.stack.doors import Door, OpenDoor
from ops.stack.kafka_server import KafkaServer
from ops.stack.mark import StackMark
from ops.stack.processes import HOST, choose_port, held
from ops.stack.redis_server import RedisServer
from ops.stack.settings import StackSettings
from ops.stack.status import ServerStatus, status_of
from ops.stack.topics import Topic, TopicReport, apart, ensure_topics
from schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from ops.security.profile import Profile

_KAFKA_PORT, _MTLS_PORT, _REDIS_PORT = 9092, 9093, 6379


# Of a stack's folder: certificates, passwords and ACLs of a secure one.
SECURITY = "security"


class LocalStack:
    """A real Apache Kafka and a real Redis on this machine.

    Parameters
    ----------
    folder : Path, optional
        Data, logs and process files. Without one the stack is temporary: a folder of its own that
        goes away at `stop`, servers that die with this process.
    topics : iterable of Topic
        To create at `start`.
    kafka_port, redis_port : int, optional
        These and no others; otherwise those of last time, the usual ones (not for a temporary
        stack) or any free ones.
    kafka_settings, redis_settings : mapping of str to str
        Lines of server.properties and redis.conf in addition to ours or instead of them.
    machine : StackSettings, optional
        Java, the jars' cache and the heap; from the environment by default.
    secure : Profile, optional
        Lets in only those it knows: by name and password, or by certificate. Without it, anybody.

    Notes
    -----
    In a test::

        with LocalStack(topics=[Topic("transactions", 4)]) as stack:
            produce(stack.kafka)
            stack.kill_kafka()
            stack.start_kafka()
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        topics: Iterable[Topic] = (),
        kafka_port: int | None = None,
        redis_port: int | None = None,
        kafka_settings: Mapping[str, str] | None = None,
        redis_settings: Mapping[str, str] | None = None,
        machine: StackSettings | None = None,
        secure: Profile | None = None,
    ) -> None:
        self._temporary = folder is None
        if folder is None:
            folder = Path(tempfile.gettempdir()) / f"everscore-stack-{uuid.uuid4().hex[:12]}"
        self.folder = folder.expanduser().absolute()
        self.topics = tuple(topics)
        self._wanted = {"kafka": kafka_port, "redis": redis_port}
        self._mark = StackMark(self.folder)
        self.secure = secure
        self._door = _door(secure)
        self._kafka = KafkaServer(
            self.folder / "kafka", machine or StackSettings(), kafka_settings or {}, self._door
        )
        self._redis = RedisServer(self.folder / "redis", redis_settings or {}, self._door)

    @property
    def kafka(self) -> str:
        """`host:port` of the broker, running or stopped."""
        return f"{HOST}:{self._mark.port('kafka')}"

    @property
    def kafka_mtls(self) -> str:
        """`host:port` where a secure broker takes certificates instead of passwords."""
        return f"{HOST}:{self._mark.port('mtls')}"

    @property
    def redis(self) -> str:
        """URL of the store, running or stopped."""
        return f"{self._door.redis_scheme}://{HOST}:{self._mark.port('redis')}/0"

    def start(self) -> TopicReport:
        """Start what does not run yet, wait until both answer, and create the topics.

        Returns
        -------
        TopicReport
            Topics created, and how existing ones differ from what is asked for.

        Raises
        ------
        ConfigurationError
            Something is missing, taken or broken; whatever this call started is stopped again.
        """
        self._door.redis_executable()
        self._kafka.prepare()  # before anything starts: say what is missing, fetch the rest
        self._mark.take_folder()
        with held(self._mark.path), ExitStack() as unless_all_is_well:
            if self._temporary:
                unless_all_is_well.callback(shutil.rmtree, self.folder, ignore_errors=True)
                atexit.register(self.stop)
            self._refuse_other_door()
            self._door.prepare()
            self._choose_ports()
            if not self._redis.process.alive():
                self._launch_redis()
                unless_all_is_well.callback(self._redis.stop)
            if not self._kafka.process.alive():
                self._launch_kafka()
                unless_all_is_well.callback(self._kafka.stop)
            self._redis.wait()
            self._kafka.wait(self._mark.ports())
            self._door.furnish(self._mark.ports())
            report = self.create_topics(self.topics)
            unless_all_is_well.pop_all()
        return report

    def stop(self, *, wipe: bool = False) -> tuple[str, ...]:
        """Stop both cleanly; stopping twice is harmless.

        Parameters
        ----------
        wipe : bool
            Remove data and logs too, as a temporary stack always does.

        Returns
        -------
        tuple of str
            Names of servers that did not end by themselves and were killed.
        """
        atexit.unregister(self.stop)
        killed: list[str] = []
        if self._mark.path.exists():
            with held(self._mark.path):
                killed += [
                    server.process.name
                    for server in (self._kafka, self._redis)
                    if not server.stop()
                ]
                if wipe:
                    for name in ("kafka", "redis", SECURITY):
                        shutil.rmtree(self.folder / name, ignore_errors=True)
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)
        return tuple(killed)

    def create_topics(self, topics: Iterable[Topic]) -> TopicReport:
        """Create topics; see `ops.stack.topics.ensure_topics`."""
        address, access = self._door.kafka_admin(self._mark.ports())
        return apart(ensure_topics(address, tuple(topics), access))

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic with the broker's settings; creating it again changes nothing."""
        self.create_topics([Topic(name, partitions)])

    def start_kafka(self) -> None:
        """Start Kafka again, where it was, and wait until it answers."""
        self._launch_kafka()
        self._kafka.wait(self._mark.ports())

    def stop_kafka(self) -> None:
        """Stop Kafka cleanly."""
        self._kafka.stop()

    def kill_kafka(self) -> None:
        """Kill Kafka: no flush, no goodbye."""
        self._kafka.process.kill()

    def start_redis(self) -> None:
        """Start Redis again, where it was, and wait until it has loaded its data."""
        self._launch_redis()
        self._redis.wait()

    def stop_redis(self) -> None:
        """Stop Redis cleanly."""
        self._redis.stop()

    def kill_redis(self) -> None:
        """Kill Redis: what it has answered is with the kernel, save a second at worst."""
        self._redis.process.kill()

    def status(self) -> tuple[ServerStatus, ServerStatus]:
        """What Kafka and Redis do."""
        return (
            status_of(self._kafka.process, lambda: self._kafka.answers(self._mark.ports())),
            status_of(self._redis.process, self._redis.answers),
        )

    def logs(self) -> dict[str, Path]:
        """The log of each server by its name."""
        processes = (self._kafka.process, self._redis.process)
        return {process.name: process.log for process in processes}

    def _refuse_other_door(self) -> None:
        """What runs keeps its locks, or goes without them, until it is stopped."""
        runs = [s.name for s in (self._kafka.process, self._redis.process) if s.alive()]
        if runs and self._mark.secure != self._door.secure:
            how = "with" if self._mark.secure else "without"
            raise ConfigurationError(
                f"{runs[0]} runs already, {how} passwords and TLS.",
                hint="Stop it first: everscore stack down.",
            )

    def _choose_ports(self) -> None:
        last = self._mark.ports()
        ports: dict[str, int] = {}
        for process, usual in (
            (self._kafka.process, _KAFKA_PORT),
            (self._redis.process, _REDIS_PORT),
        ):
            name, record = process.name, process.record()
            wanted = self._wanted[name]
            if record is None:
                liked = None if self._temporary else usual
                reserved = ports.values()
                ports[name] = choose_port(wanted, last.get(name), liked, reserved=reserved)
            elif wanted in {None, record.port}:
                ports[name] = record.port
            else:
                raise ConfigurationError(
                    f"{name} runs already, on port {record.port} and not {wanted}.",
                    hint="Stop it first: everscore stack down.",
                )
        for name in self._door.kafka_ports:
            if name in ports:
                continue
            if self._kafka.process.alive() and name in last:
                ports[name] = last[name]
                continue
            liked = _MTLS_PORT if name == "mtls" and not self._temporary else None
            ports[name] = choose_port(None, last.get(name), liked, reserved=ports.values())
        self._mark.write(ports, secure=self._door.secure)

    def _launch_kafka(self) -> None:
        self._kafka.start(self._mark.ports(), with_us=self._temporary)

    def _launch_redis(self) -> None:
        self._redis.start(self._mark.port("redis"), with_us=self._temporary)

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


def _door(secure: Profile | None) -> Door:
    if secure is None:
        return OpenDoor()
    from ops.security.door import SecureDoor  # noqa: PLC0415 - needs what the open way does not

    return SecureDoor(secure)
