"""The Docker engine of this machine: whether it can run our containers, and what others left in it.

Needs the docker extra. Owns no container.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import closing, suppress
from typing import Any

from docker.errors import APIError, DockerException, ImageNotFound
from testcontainers.core.config import testcontainers_config
from testcontainers.core.docker_client import DockerClient, get_docker_host

from schemas.errors import ConfigurationError

_ENGINE_SECONDS_MAX = 2  # an engine of this machine answers in 0.01 s
_REGISTRY_SECONDS_MAX = 5

# Who answers for a container: a process of this machine. Once it is gone the container is nobody's.
_PID_LABEL = "everscore.owner-pid"
_MACHINE_LABEL = "everscore.owner-machine"

_ENGINE_HINT = "Start Docker, or choose another stack."
_IMAGE_HINT = "`make images` builds a stand-in from Debian's packages."


def check_engine(images: Iterable[str]) -> None:
    """Raise unless the engine and the images are there; takes seconds at most.

    Parameters
    ----------
    images : iterable of str
        Each has to be here, or in a registry that answers.

    Raises
    ------
    ConfigurationError
        Names what is missing, and what to do about it.
    """
    host = get_docker_host() or ""
    if host.startswith(("tcp://", "ssh://", "http")):
        raise ConfigurationError(f"Docker runs elsewhere, at {host}.", hint=_ENGINE_HINT)
    try:
        with closing(DockerClient(timeout=_ENGINE_SECONDS_MAX).client) as client:
            client.ping()
            for image in images:
                _check_image(client, image)
    except (DockerException, OSError) as error:  # those of the library below it are OSErrors
        raise ConfigurationError(f"Docker does not answer: {error}", hint=_ENGINE_HINT) from None


def _check_image(client: Any, image: str) -> None:
    try:
        client.images.get(image)
    except ImageNotFound:
        client.api.timeout = _REGISTRY_SECONDS_MAX
        try:
            client.images.get_registry_data(image)
        except (APIError, OSError):
            raise ConfigurationError(
                f"The image {image} is not here, and no registry gives it.", hint=_IMAGE_HINT
            ) from None


def owner_labels() -> dict[str, str]:
    """Labels of a container that shall not outlive this process."""
    return {_PID_LABEL: str(os.getpid()), _MACHINE_LABEL: socket.gethostname()}


def remove_orphans() -> None:
    """Remove containers whose owner is gone, however it ended.

    testcontainers has a container of its own for that, ryuk. It is used where its image is at hand;
    elsewhere the next stack does its work.
    """
    with closing(DockerClient().client) as client:
        try:
            client.images.get(testcontainers_config.ryuk_image)
        except ImageNotFound:
            testcontainers_config.ryuk_disabled = True
        ours = {"label": f"{_MACHINE_LABEL}={socket.gethostname()}"}
        for container in client.containers.list(all=True, filters=ours):
            if not _exists(int(container.labels[_PID_LABEL])):
                with suppress(APIError):  # somebody else is removing it
                    container.remove(force=True, v=True)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
