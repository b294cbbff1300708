"""docker-compose.yml as a project of its own: up, looked at, and taken away again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

from ops.stack.container_engine import process_exists
from ops.stack.images.commands import need
from ops.stack.processes import HOST, choose_port

REPOSITORY = Path(__file__).parents[2]
_PREFIX = "everscore-ci-"
_PROJECT_LABEL = "com.docker.compose.project"
_COMMAND_SECONDS_MAX = 900.0  # building our image fetches 150 MB
_HEALTHY_SECONDS_MAX = 180.0
_POLL_SECONDS = 0.5


class ComposeProject:
    """The file itself, not a copy: what differs from a person's `up` is its name and its ports.

    Parameters
    ----------
    **environment : str
        Variables that compose sees in addition.
    """

    def __init__(self, **environment: str) -> None:
        self.name = f"{_PREFIX}{os.getpid()}-{uuid.uuid4().hex[:8]}"
        kafka_port = choose_port(None)
        redis_port = choose_port(None, reserved=[kafka_port])
        self.kafka = f"{HOST}:{kafka_port}"
        api_port = choose_port(None, reserved=[kafka_port, redis_port])
        self.redis = f"redis://{HOST}:{redis_port}/0"
        self.api = f"http://{HOST}:{api_port}"
        self._environment = {
            **os.environ,
            "EVERSCORE_STACK_KAFKA_PORT": str(kafka_port),
            "EVERSCORE_STACK_REDIS_PORT": str(redis_port),
            "EVERSCORE_STACK_API_PORT": str(api_port),
            **environment,
        }
        self._command = [*compose_command(), "--project-name", self.name]

    def compose(self, *words: str) -> str:
        """One compose command to its end."""
        return _run([*self._command, *words], self._environment)

    def remove_orphans(self) -> None:
        """Take away projects whose process was killed: they would restart themselves for ever."""
        for name in set(_project_names()):
            owner = re.match(rf"{_PREFIX}(\d+)-", name)
            if owner is not None and not process_exists(int(owner[1])):
                down = ["--project-name", name, "down", "--volumes"]
                _run([*compose_command(), *down], self._environment)

    def up(self, workers: int) -> float:
        """Bring everything up and wait until it is healthy; the seconds it took."""
        began = time.monotonic()
        self.compose("up", "--detach", "--scale", f"worker={workers}")
        for container in self.containers():
            if service_of(container) != "topics":
                self.wait(container["Id"], "healthy")
        return time.monotonic() - began

    def down(self, *, volumes: bool) -> None:
        """Take containers and network away, and with them the data if so asked."""
        self.compose("down", "--remove-orphans", *(["--volumes"] if volumes else []))

    def containers(self, service: str | None = None) -> list[dict[str, Any]]:
        """What the engine knows of each container, ended ones too."""
        label = f"label={_PROJECT_LABEL}={self.name}"
        ids = docker("ps", "--all", "--quiet", "--no-trunc", "--filter", label).split()
        found: list[dict[str, Any]] = json.loads(docker("inspect", *ids)) if ids else []
        return [one for one in found if service in {None, service_of(one)}]

    def wait(self, container: str, health: str) -> None:
        """Wait until a container's health is so; fails with its last words otherwise."""
        deadline = time.monotonic() + _HEALTHY_SECONDS_MAX
        while True:
            state = inspect(container)["State"]
            if state["Health"]["Status"] == health and state["Running"]:
                return
            if time.monotonic() > deadline:
                checks = [check["Output"] for check in state["Health"]["Log"]]
                raise AssertionError(f"not {health}: {checks}\n{self.logs()}")
            time.sleep(_POLL_SECONDS)

    def logs(self) -> str:
        """The end of every container's log."""
        return self.compose("logs", "--no-color", "--tail", "60")


def _project_names() -> list[str]:
    return docker("ps", "--all", "--format", f'{{{{.Label "{_PROJECT_LABEL}"}}}}').split()


def service_of(container: dict[str, Any]) -> str:
    """Name of a container's service in the compose file."""
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def inspect(container: str) -> dict[str, Any]:
    """What the engine knows of a container."""
    found: dict[str, Any] = json.loads(docker("inspect", container))[0]
    return found


def docker(*words: str) -> str:
    """One docker command to its end."""
    return _run(["docker", *words], {**os.environ})


def compose_command() -> list[str]:
    """Compose's second version if it is there, else its first.

    Raises
    ------
    ConfigurationError
        Neither is.
    """
    plugin = subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False, timeout=60
    )
    if plugin.returncode == 0:
        return ["docker", "compose"]
    return [need("docker-compose", "`make services` installs it on Debian.")]


def _run(words: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        words,
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS_MAX,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
