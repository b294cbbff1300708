"""The local stack behind locks: Kafka by SCRAM and by certificate, Redis by TLS and ACL users.

Owns what the servers are told about it. Certificates and passwords are `ops.security.profile`'s,
who may do what is `ops.security.roles`'s.
"""

from __future__ import annotations

import functools
import os
import socket
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.embedded.redis_server import redis_executable
from ops.security.kafka_users import furnish_kafka
from ops.security.profile import BROKER, USERS, Profile
from ops.security.roles import Role, kafka_acls
from ops.stack.doors import Ports
from ops.stack.processes import HOST
from schemas.errors import ConfigurationError

_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
_PROBE_SECONDS_MAX = 10.0
_GREETING_BYTES_MAX = 1_024


class SecureDoor:
    """See `ops.stack.doors.Door`.

    Parameters
    ----------
    profile : Profile
    """

    secure = True
    kafka_ports: tuple[str, ...] = ("kafka", "controller", "mtls")
    redis_scheme = "rediss"

    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    def prepare(self) -> None:
        """Make certificates and passwords, unless they are there."""
        self.profile.ensure()
        self.__dict__.pop("_access", None)  # of a certificate that may have been renewed

    def kafka_settings(self, ports: Ports) -> dict[str, str]:
        """See `Door`."""
        supers = [BROKER, *(user for user, roles in USERS.items() if Role.ADMIN in roles)]
        clients = f"SASL_SSL://{HOST}:{ports['kafka']},SSL://{HOST}:{ports['mtls']}"
        return {
            "listeners": f"{clients},CONTROLLER://{HOST}:{ports['controller']}",
            "advertised.listeners": clients,
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:SSL",
            "inter.broker.listener.name": "SSL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{_SCRAM} required;",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.profile.broker),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.profile.ca),
            # Who has no user name must have a certificate: on the controller's port too, where
            # anybody could be a broker otherwise.
            "ssl.client.auth": "required",
            "listener.name.sasl_ssl.ssl.client.auth": "none",
            # The owner of a certificate is the same user as the one of that name with a password.
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": ";".join(f"User:{name}" for name in supers),
        }

    def redis_settings(self, port: int) -> dict[str, str]:
        """See `Door`."""
        certificate, key = self.profile.redis
        return {
            "port": "0",
            "tls-port": str(port),
            "tls-cert-file": _quoted(certificate),
            "tls-key-file": _quoted(key),
            "tls-ca-cert-file": _quoted(self.profile.ca),
            # Users have passwords; a certificate may come on top, and has to be one of ours then.
            "tls-auth-clients": "optional",
            "tls-protocols": '"TLSv1.2 TLSv1.3"',
            "aclfile": _quoted(self.profile.redis_users),
        }

    def kafka_admin(self, ports: Ports) -> tuple[str, Mapping[str, Any]]:
        """See `Door`."""
        return f"{HOST}:{ports['mtls']}", self._access

    @functools.cached_property
    def _access(self) -> dict[str, Any]:
        return self.profile.admin_access()

    def greet_redis(self, connection: socket.socket) -> socket.socket:
        """Come as the admin."""
        context: ssl.SSLContext = self._access["ssl_context"]
        encrypted = context.wrap_socket(connection, server_hostname=HOST)
        password = self.profile.password("admin", "REDIS")
        encrypted.sendall(f"AUTH admin {password}\r\n".encode())
        answer = encrypted.recv(_GREETING_BYTES_MAX)
        if not answer.startswith(b"+OK"):
            raise OSError(f"Redis refused its admin: {answer!r}")
        return encrypted

    def redis_executable(self) -> str:
        """A redis-server that was built with TLS; the bundled one was not.

        Raises
        ------
        ConfigurationError
            There is none.
        """
        names = [folder + os.sep + "redis-server" for folder in os.get_exec_path()]
        for path in names:
            if os.access(path, os.X_OK) and _knows_tls(path):
                return path
        raise ConfigurationError(
            f"No redis-server here knows TLS; {redis_executable()} was built without it.",
            hint="Install one (Debian: apt install redis-server; macOS: brew install redis), "
            "or start the stack without --secure.",
        )

    def furnish(self, ports: Ports) -> None:
        """Give Kafka's users their passwords and rights."""
        furnish_kafka(
            f"{HOST}:{ports['mtls']}",
            ca=self.profile.ca,
            certificate=self.profile.certificate("admin"),
            passwords=self.profile.scram_users(),
            acls=kafka_acls(self.profile.settings, USERS),
            users=USERS,
        )


def _quoted(path: Path) -> str:
    """A path as redis.conf takes it, whatever it contains."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@functools.cache
def _knows_tls(executable: str) -> bool:
    """Whether a redis-server was built with TLS: without, it stumbles over the first line."""
    try:
        said = subprocess.run(  # noqa: S603 - our own words only
            [executable, "-"],
            input="tls-port 0\nand-then-stop\n",
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "'and-then-stop'" in said.stdout + said.stderr
