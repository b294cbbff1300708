"""Kafka and Redis of one folder, started and stopped together or one by one.

Owns the folder, its ports and the order of things; what `everscore stack` and the tests call.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ops.embedded.redis_server import redis_executable
from ops.stack.kafka_server import KafkaServer
from ops.stack.processes import HOST, ServerProcess, choose_port, held
from ops.stack.redis_server import RedisServer
from ops.stack.settings import StackSettings
from ops.stack.topics import Topic, TopicReport, apart, ensure_topics
from schemas.errors import ConfigurationError

_MARK = "stack.json"  # the folder is ours; its ports; its lock
_KAFKA_PORT, _REDIS_PORT = 9092, 6379


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What one server does; all but the name is empty while it does not run."""

    name: str
    running: bool
    answers: bool = False
    address: str | None = None
    version: str | None = None
    since: str | None = None
    pid: int | None = None


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
    ) -> None:
        self._temporary = folder is None
        if folder is None:
            folder = Path(tempfile.gettempdir()) / f"everscore-stack-{uuid.uuid4().hex[:12]}"
        self.folder = folder.expanduser().absolute()
        self.topics = tuple(topics)
        self._wanted = {"kafka": kafka_port, "redis": redis_port}
        self._mark = self.folder / _MARK
        self._kafka = KafkaServer(
            self.folder / "kafka", machine or StackSettings(), kafka_settings or {}
        )
        self._redis = RedisServer(self.folder / "redis", redis_settings or {})

    @property
    def kafka(self) -> str:
        """`host:port` of the broker, running or stopped."""
        return f"{HOST}:{self._port('kafka')}"

    @property
    def redis(self) -> str:
        """URL of the store, running or stopped."""
        return f"redis://{HOST}:{self._port('redis')}/0"

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
        redis_executable()
        self._kafka.prepare()  # before anything starts: say what is missing, fetch the rest
        self._take_folder()
        with held(self._mark), ExitStack() as unless_all_is_well:
            if self._temporary:
                unless_all_is_well.callback(shutil.rmtree, self.folder, ignore_errors=True)
                atexit.register(self.stop)
            self._choose_ports()
            if not self._redis.process.alive():
                self._launch_redis()
                unless_all_is_well.callback(self._redis.stop)
            if not self._kafka.process.alive():
                self._launch_kafka()
                unless_all_is_well.callback(self._kafka.stop)
            self._redis.wait()
            self._kafka.wait()
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
        if self._mark.exists():
            with held(self._mark):
                killed += [
                    server.process.name
                    for server in (self._kafka, self._redis)
                    if not server.stop()
                ]
                if wipe:
                    for name in ("kafka", "redis"):
                        shutil.rmtree(self.folder / name, ignore_errors=True)
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)
        return tuple(killed)

    def create_topics(self, topics: Iterable[Topic]) -> TopicReport:
        """Create topics; see `ops.stack.topics.ensure_topics`."""
        return apart(ensure_topics(self.kafka, tuple(topics)))

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic with the broker's settings; creating it again changes nothing."""
        self.create_topics([Topic(name, partitions)])

    def start_kafka(self) -> None:
        """Start Kafka again, where it was, and wait until it answers."""
        self._launch_kafka()
        self._kafka.wait()

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
            _status(self._kafka.process, self._kafka.answers),
            _status(self._redis.process, self._redis.answers),
        )

    def logs(self) -> dict[str, Path]:
        """The log of each server by its name."""
        processes = (self._kafka.process, self._redis.process)
        return {process.name: process.log for process in processes}

    def _take_folder(self) -> None:
        if not self._mark.exists() and self.folder.is_dir() and any(self.folder.iterdir()):
            raise ConfigurationError(
                f"{self.folder} holds something else than a local stack.",
                hint="Name an empty or a new folder.",
            )
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _ports(self) -> dict[str, int]:
        try:
            ports: dict[str, int] = json.loads(self._mark.read_text())
        except (OSError, ValueError):  # not started yet
            return {}
        return ports

    def _port(self, name: str) -> int:
        port = self._ports().get(name)
        if port is None:
            raise ConfigurationError(f"The local stack in {self.folder} was never started.")
        return port

    def _choose_ports(self) -> None:
        last = self._ports()
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
        controller = last.get("controller")
        if not self._kafka.process.alive() or controller is None:
            controller = choose_port(None, controller, reserved=ports.values())
        self._mark.write_text(json.dumps(ports | {"controller": controller}))

    def _launch_kafka(self) -> None:
        ports = self._port("kafka"), self._port("controller")
        self._kafka.start(*ports, with_us=self._temporary)

    def _launch_redis(self) -> None:
        self._redis.start(self._port("redis"), with_us=self._temporary)

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


def _status(process: ServerProcess, answers: Callable[[], bool]) -> ServerStatus:
    record = process.record()
    if record is None:
        return ServerStatus(process.name, running=False)
    return ServerStatus(
        process.name,
        running=True,
        answers=answers(),
        address=f"{HOST}:{record.port}",
        version=record.version,
        since=record.started_at,
        pid=record.pid,
    )
