"""How the servers of the local stack let people in: anybody of this machine, or those they know.

Owns the open way. The other one is `ops.security.door`.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Protocol

from ops.embedded.redis_server import redis_executable
from ops.kafka_admin import OPEN
from ops.stack.processes import HOST

Ports = Mapping[str, int]


class Door(Protocol):
    """What the two servers have to be told, and how we get in ourselves."""

    secure: bool
    kafka_ports: tuple[str, ...]
    redis_scheme: str

    def prepare(self) -> None:
        """Make what has to be there before the servers start."""

    def kafka_settings(self, ports: Ports) -> dict[str, str]:
        """Lines of server.properties."""

    def redis_settings(self, port: int) -> dict[str, str]:
        """Lines of redis.conf."""

    def kafka_admin(self, ports: Ports) -> tuple[str, Mapping[str, Any]]:
        """Address and keyword arguments of an admin's client."""

    def greet_redis(self, connection: socket.socket) -> socket.socket:
        """The connection, after everything that comes before the first command."""

    def redis_executable(self) -> str:
        """A redis-server that can do what `redis_settings` says."""

    def furnish(self, ports: Ports) -> None:
        """Tell the running servers who may do what."""


class OpenDoor:
    """No encryption and no names: for a machine that one trusts."""

    secure = False
    kafka_ports: tuple[str, ...] = ("kafka", "controller")
    redis_scheme = "redis"

    def prepare(self) -> None:
        """Nothing to prepare."""

    def kafka_settings(self, ports: Ports) -> dict[str, str]:
        """See `Door`."""
        return {
            "listeners": f"PLAINTEXT://{HOST}:{ports['kafka']},"
            f"CONTROLLER://{HOST}:{ports['controller']}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{ports['kafka']}",
        }

    def redis_settings(self, port: int) -> dict[str, str]:
        """See `Door`."""
        return {"port": str(port)}

    def kafka_admin(self, ports: Ports) -> tuple[str, Mapping[str, Any]]:
        """See `Door`."""
        return f"{HOST}:{ports['kafka']}", OPEN

    def greet_redis(self, connection: socket.socket) -> socket.socket:
        """See `Door`."""
        return connection

    def redis_executable(self) -> str:
        """See `Door`."""
        return redis_executable()

    def furnish(self, ports: Ports) -> None:
        """Nothing to tell."""
