"""Commands an operator can paste: ours, Kafka's and Redis's tools, with the addresses in use.

Owns how they are written. Runs none, and writes no secret: where a password is needed, it is an
administrator's, and the tool asks for it or reads it from a file.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from streams.settings import Settings

_COPIES = 3  # with one of them away, two still have every record


class Remedies:
    """Commands for one installation.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def _kafka(self, tool: str, *words: str) -> str:
        secured = self._settings.kafka_security != "PLAINTEXT"
        access = ("--command-config", "admin.properties") if secured else ()
        return shlex.join([tool, "--bootstrap-server", self._settings.kafka, *access, *words])

    def create_topics(self, partitions: int, brokers: int) -> str:
        """Create the topics that are missing, with three copies where there are brokers for them."""
        copies = ["--replication", str(_COPIES)] if brokers >= _COPIES else []
        return shlex.join(
            ["everscore", "topics", "create", "--partitions", str(partitions), *copies]
        )

    def set_topic(self, topic: str, settings: Mapping[str, str]) -> str:
        """Change settings of a topic."""
        # A value with a comma, as in a list, stands in brackets.
        pairs = ",".join(f"{k}=[{v}]" if "," in v else f"{k}={v}" for k, v in settings.items())
        words = ("--alter", "--entity-type", "topics", "--entity-name", topic)
        return self._kafka("kafka-configs.sh", *words, "--add-config", pairs)

    def add_partitions(self, topic: str, partitions: int) -> str:
        """Give a topic more partitions."""
        words = ("--alter", "--topic", topic, "--partitions", str(partitions))
        return self._kafka("kafka-topics.sh", *words)

    def delete_topic(self, topic: str) -> str:
        """Delete a topic and its records."""
        return self._kafka("kafka-topics.sh", "--delete", "--topic", topic)

    def describe_topic(self, topic: str) -> str:
        """Show which brokers hold a topic."""
        return self._kafka("kafka-topics.sh", "--describe", "--topic", topic)

    def finish_upgrade(self, release: str) -> str:
        """Let the cluster use what its brokers' software can do."""
        return self._kafka("kafka-features.sh", "upgrade", "--release-version", release)

    def allow(self, resource: str, name: str, operation: str) -> str:
        """Allow us an operation on a topic or group."""
        user = self._settings.kafka_username or "<the name in our certificate>"
        written = operation.title().replace("_", "")  # DescribeConfigs: the tool's own spelling
        words = ("--add", "--allow-principal", f"User:{user}", "--operation", written)
        return self._kafka("kafka-acls.sh", *words, f"--{resource}", name)

    def redis(self, *words: str) -> str:
        """A command of Redis's."""
        settings = self._settings
        access = ["-u", settings.redis]
        if settings.redis_password is not None:
            access += ["--user", "admin", "--askpass"]  # our own user may not do such things
        if settings.redis_ca is not None:
            access += ["--cacert", str(settings.redis_ca)]
        if settings.redis_certificate is not None:
            access += ["--cert", str(settings.redis_certificate), "--key", str(settings.redis_key)]
        return shlex.join(["redis-cli", *access, *words])

    def configure_redis(self, name: str, value: str) -> tuple[str, str]:
        """Change a setting of Redis, and keep it in its file."""
        return self.redis("CONFIG", "SET", name, value), self.redis("CONFIG", "REWRITE")
