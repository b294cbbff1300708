"""Apache Kafka as one process: broker and controller in one, on this machine only.

Owns its settings, its formatting, its start and its readiness. Knows no topics of ours.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from aiokafka.errors import KafkaError

from ops.stack.class_archive import ClassArchive
from ops.stack.java import find_java, java_identity, kafka_jars, kafka_version, shares_classes
from ops.stack.processes import HOST, POLL_SECONDS, ServerProcess, is_free
from ops.stack.settings import StackSettings
from ops.stack.topics import apart, cluster_id
from schemas.errors import ConfigurationError

_LOG_SETTINGS = Path(__file__).with_name("log4j2.properties")
_START_SECONDS_MAX = 90.0  # 2.5 s on two idle cores, 8 s on busy ones
_FORMAT_SECONDS_MAX = 60.0  # 1 s
_STOP_SECONDS_MAX = 60.0  # 0.4 s; with the archive of its classes to write 2 s, busy 10 s
_DATA = "data"  # relative to the working directory: no path has to be escaped
_META = f"{_DATA}/meta.properties"
_EXCEPTION = re.compile(
    r'^(?:Exception in thread "[^"]*" |Caused by: )?([\w.$]+(?:Exception|Error): .+)$', re.MULTILINE
)

# Of one node that keeps the only copy of everything, wherever it runs.
ONE_NODE = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "log.dirs": _DATA,
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Each partition of the inner topics costs files at its first use; 50 are for big clusters.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    # A new group's first assignment waits for more members: three seconds by default.
    "group.initial.rebalance.delay.ms": "0",
    # Tests and the demo lose workers on purpose and do not wait the usual six seconds for it.
    "group.min.session.timeout.ms": "1000",
    # A killed broker may register again when its session has run out. From kill to answer it takes
    # 12 s with the default of 9 s, 5 s with 3 s, 3 s with 1.5 s; but with 1.5 s a machine that is
    # busy with tests may lose a broker that is only slow.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # Of the heap; the default of 128 MB is a quarter of ours.
    "log.cleaner.dedupe.buffer.size": "16777216",
}


class KafkaServer:
    """One Kafka node with its data in a folder.

    Parameters
    ----------
    folder : Path
        Its settings, log and data.
    machine : StackSettings
        Java, jars and heap.
    settings : mapping of str to str
        Of server.properties, in addition to ours or instead of them.
    """

    def __init__(self, folder: Path, machine: StackSettings, settings: Mapping[str, str]) -> None:
        self.process = ServerProcess("kafka", folder)
        self._folder = folder
        self._machine = machine
        self._settings = settings
        self._made_archive = folder / "classes.jsa"
        self._java = self._class_path = ""

    def prepare(self) -> None:
        """Find Java and fetch the jars, unless they are there.

        Raises
        ------
        ConfigurationError
            Either is missing.
        """
        self._java = find_java(self._machine.java_home)
        jars = kafka_jars(self._machine.cache)
        self._class_path = os.pathsep.join(str(jar) for jar in sorted(jars.glob("*.jar")))
        self._archive = ClassArchive(
            self._java, self._class_path, jars / f"classes-{java_identity(self._java)}.jsa"
        )

    def _command(self, *words: str, make_archive: Path | None = None) -> list[str]:
        return [
            self._java,
            f"-Xmx{self._machine.heap_mb}m",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={_LOG_SETTINGS.as_uri()}",
            *self._archive.options(make_archive),
            "-cp",
            self._class_path,
            *words,
        ]

    def start(self, port: int, controller_port: int, *, with_us: bool) -> None:
        """Start the node; the first start formats its data folder.

        Raises
        ------
        ConfigurationError
            A port is taken, Java or the jars are missing, or formatting failed.
        """
        self.prepare()
        for wanted in (port, controller_port):
            if not is_free(wanted):
                raise ConfigurationError(f"Kafka cannot listen on port {wanted}: it is taken.")
        self._folder.mkdir(parents=True, exist_ok=True)
        own = {
            "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
            "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        }
        lines = [f"{name}={value}" for name, value in (ONE_NODE | own | {**self._settings}).items()]
        (self._folder / "server.properties").write_text("\n".join(lines) + "\n")
        if not (self._folder / _META).exists():
            self._format()
        # Without an archive to build upon, a JVM asked for another one does not start at all.
        make = self._made_archive if shares_classes(self._java) else None
        self.process.start(
            self._command("kafka.Kafka", "server.properties", make_archive=make),
            port=port,
            version=kafka_version(),
            with_us=with_us,
        )

    def _format(self) -> None:
        command = self._command(
            "kafka.tools.StorageTool", "format",
            "--cluster-id", new_cluster_id(), "--config", "server.properties",
        )  # fmt: skip
        done = subprocess.run(  # noqa: S603 - our own words only
            command,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=_FORMAT_SECONDS_MAX,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            raise ConfigurationError(
                f"Kafka could not format {self._folder / _DATA}: "
                f"{complaint_in(done.stdout + done.stderr)}"
            )

    def wait(self) -> None:
        """Wait until the node answers.

        Raises
        ------
        ConfigurationError
            It ended or did not answer in time; the message ends its log.
        """
        deadline = time.monotonic() + _START_SECONDS_MAX
        while not self.answers():
            if not self.process.alive() or time.monotonic() > deadline:
                raise ConfigurationError(
                    f"Kafka did not start: {complaint_in(self.process.said())}",
                    hint=f"Its log is {self.process.log}.",
                )
            time.sleep(POLL_SECONDS)

    def answers(self) -> bool:
        """Whether this node, and not somebody else's, answers on its port."""
        record = self.process.record()
        # A refused client logs errors: it is only asked once something listens.
        if record is None or is_free(record.port):
            return False
        try:
            answered = apart(cluster_id(f"{HOST}:{record.port}"))
        except (KafkaError, OSError):
            return False
        return answered == self._cluster_id()

    def _cluster_id(self) -> str | None:
        lines = (self._folder / _META).read_text().splitlines()
        found = [line.partition("=")[2] for line in lines if line.startswith("cluster.id=")]
        return found[0] if found else None

    def stop(self) -> bool:
        """Stop the node cleanly; False if it had to be killed."""
        clean = self.process.stop(_STOP_SECONDS_MAX)
        if self._made_archive.exists():
            with suppress(ConfigurationError, OSError):  # the next one that stops makes another
                self.prepare()
                self._archive.adopt(self._made_archive)
        return clean


def complaint_in(said: str) -> str:
    r"""What a Java program complains of: its first exception, else its last line.

    Examples
    --------
    >>> complaint_in("INFO up\nx.y.ConfigException: no disk\n\tat x.Main\nINFO shut down")
    'x.y.ConfigException: no disk'
    """
    found = _EXCEPTION.search(said)
    if found is not None:
        return found[1]
    lines = [line for line in said.splitlines() if line and not line[0].isspace()]
    return lines[-1] if lines else "it said nothing."


def new_cluster_id() -> str:
    """A random cluster id as Kafka writes them: 22 characters, no leading dash."""
    while True:
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not made.startswith("-"):
            return made
