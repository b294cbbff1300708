"""One real Apache Kafka for all rows, with a second listener that leads through a proxy.

Clients of the plain listener are told its own address; those that come in by the proxied one are told
the proxy's, so that all they say to Kafka passes there.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from ops.stack.doors import OpenDoor, Ports
from ops.stack.java import kafka_version
from ops.stack.kafka_server import KafkaServer
from ops.stack.processes import HOST, choose_port
from ops.stack.settings import StackSettings
from tests.chaos.tcp_proxy import Door


class TwoWayDoor(OpenDoor):
    """Lets anybody in by two ports."""

    def kafka_settings(self, ports: Ports) -> dict[str, str]:
        """See `ops.stack.doors.Door`."""
        own = super().kafka_settings(ports)
        return {
            "listeners": f"{own['listeners']},PROXIED://{HOST}:{ports['proxied']}",
            "advertised.listeners": f"{own['advertised.listeners']},"
            f"PROXIED://{HOST}:{ports['proxy']}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
            "PROXIED:PLAINTEXT",
        }


class ChaosKafka:
    """A broker that is killed and started again, with its data kept.

    Parameters
    ----------
    folder : Path
    machine : StackSettings
    """

    def __init__(self, folder: Path, machine: StackSettings) -> None:
        self.ports: dict[str, int] = {}
        for name in ("kafka", "controller", "proxied", "proxy"):
            self.ports[name] = choose_port(None, reserved=self.ports.values())
        self._server = KafkaServer(folder / "kafka", machine, {}, TwoWayDoor())
        self.version = kafka_version()

    @property
    def address(self) -> str:
        """`host:port` of the plain way."""
        return f"{HOST}:{self.ports['kafka']}"

    @property
    def proxied_address(self) -> str:
        """`host:port` of the way through the proxy, once there is one."""
        return f"{HOST}:{self.ports['proxy']}"

    def proxy_door(self) -> Door:
        """The proxy, not yet open."""
        return Door((HOST, self.ports["proxied"]), self.ports["proxy"])

    def start(self) -> None:
        """Start and wait until it answers."""
        self._server.start(self.ports, with_us=True)
        self._server.wait(self.ports)

    def stop(self) -> None:
        """Stop cleanly."""
        self._server.stop()

    async def restart_cleanly(self) -> None:
        """Stop cleanly and start again."""
        await asyncio.to_thread(self.stop)
        await asyncio.to_thread(self.start)

    async def restart_killed(self) -> None:
        """Kill and start again."""
        await asyncio.to_thread(self._server.process.kill)
        await asyncio.to_thread(self.start)
