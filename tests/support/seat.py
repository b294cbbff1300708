"""A user of a secure local stack: their settings, their commands, their clients."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import redis
from pydantic import SecretStr

from ops.security.access import access_variables
from ops.security.profile import SERVERS, USERS
from ops.stack.local import LocalStack
from ops.stack.topics import declared_topics
from streams.settings import Settings

REPOSITORY = Path(__file__).parents[2]
COMMAND_SECONDS_MAX = 60.0
WAIT_SECONDS_MAX = 60.0
CONFIG, AWAY = 78, 69  # exit codes

PARTITIONS = 4
SETTINGS = Settings.model_construct()
TOPICS = [topic.name for topic in declared_topics(SETTINGS, PARTITIONS)]


class Seat:
    """Whoever sits here has the variables that `everscore stack access` prints, and no others."""

    def __init__(self, stack: LocalStack, user: str, *, certificate: bool = False) -> None:
        assert stack.secure is not None
        self.profile, self.user, self.certificate = stack.secure, user, certificate
        self.variables = access_variables(
            stack.secure,
            user,
            kafka=stack.kafka,
            kafka_mtls=stack.kafka_mtls,
            redis=stack.redis,
            certificate=certificate,
        )

    def environment(self, **changes: str) -> dict[str, str]:
        """Of a child; a change to nothing takes a variable away."""
        bare = {name: value for name, value in os.environ.items() if "EVERSCORE_" not in name}
        changed = self.variables | {f"EVERSCORE_{name}": value for name, value in changes.items()}
        return bare | changed | {"COLUMNS": "300"}

    @property
    def settings(self) -> Settings:
        """The same in this process."""
        given: dict[str, Any] = {
            name.removeprefix("EVERSCORE_").lower(): value for name, value in self.variables.items()
        }
        for server in ("KAFKA", "REDIS"):
            if self.profile.knows(self.user, server):
                password = self.profile.password(self.user, server)
                given[f"{server.lower()}_password"] = SecretStr(password)
        return Settings(**given)

    def run(self, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """One `everscore` command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "ops.cli.main", *words],
            cwd=REPOSITORY,
            env=self.environment(**changes),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def start_worker(self, log: Path, **changes: str) -> subprocess.Popen[bytes]:
        """`everscore worker`, its words in a file."""
        with log.open("wb") as words:
            return subprocess.Popen(
                [sys.executable, "-m", "ops.cli.main", "worker", "-v"],
                cwd=REPOSITORY,
                env=self.environment(**changes),
                stdout=words,
                stderr=words,
            )

    def kafka(self, **more: Any) -> dict[str, Any]:
        """Configuration of a librdkafka client."""
        settings = self.settings
        config: dict[str, Any] = {
            "bootstrap.servers": settings.kafka,
            "security.protocol": settings.kafka_security,
            "ssl.ca.location": str(settings.kafka_ca),
            "log_level": 0,
        }
        if settings.kafka_password is not None and settings.kafka_username is not None:
            config["sasl.mechanism"] = settings.kafka_sasl_mechanism
            config["sasl.username"] = settings.kafka_username
            config["sasl.password"] = settings.kafka_password.get_secret_value()
        else:
            config["ssl.certificate.location"] = str(settings.kafka_certificate)
            config["ssl.key.location"] = str(settings.kafka_key)
        return config | {name.replace("_", "."): value for name, value in more.items()}

    def redis(self) -> redis.Redis:
        """A client that may send any command."""
        settings = self.settings
        assert settings.redis_password is not None
        return redis.Redis.from_url(
            settings.redis,
            username=settings.redis_username,
            password=settings.redis_password.get_secret_value(),
            ssl_ca_certs=str(settings.redis_ca),
        )


def secrets_of(stack: LocalStack) -> list[str]:
    """Every user's password, of Kafka and of Redis."""
    profile = stack.secure
    assert profile is not None
    return [
        profile.password(user, server)
        for user in USERS
        for server in SERVERS
        if profile.knows(user, server)
    ]
