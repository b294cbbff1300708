"""A folder with all that a secure local stack needs: CA, certificates, users and their passwords.

Owns the files: made once, used until they run out, nobody else's to read. Starts no server.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ops.security.certificates import Authority, Certificate, expires_at, names_of
from ops.security.roles import Role, redis_rules
from schemas.errors import ConfigurationError
from streams.connections import tls_context
from streams.settings import Settings

# What each user of the local stack is; the worker may also run the demo, which touches nothing of
# the installation's.
USERS: dict[str, tuple[Role, ...]] = {
    "admin": (Role.ADMIN,),
    "worker": (Role.WORKER, Role.DEMO),
    "producer": (Role.PRODUCER,),
    "reader": (Role.READER,),
    "support": (Role.SUPPORT,),
    "auditor": (Role.AUDITOR,),
    "eraser": (Role.ERASER,),
}
BROKER = "broker"  # Kafka's own name, to itself
_NAMES = ("localhost", "127.0.0.1")
_PASSWORD_BYTES = 24  # 192 bits of chance, 32 characters
_RENEW_BEFORE = timedelta(days=30)
SERVERS = ("KAFKA", "REDIS")


class Profile:
    """The secrets of one secure stack.

    Parameters
    ----------
    folder : Path
        Made at `ensure`, mode 0700.
    settings : Settings, optional
        Names of the installation's topics, group and keys.
    names : iterable of str
        Of the servers, besides localhost and 127.0.0.1.
    """

    def __init__(
        self, folder: Path, settings: Settings | None = None, names: Iterable[str] = ()
    ) -> None:
        self.folder = folder.expanduser().absolute()
        self.settings = settings or Settings()
        self.names = tuple(dict.fromkeys((*_NAMES, *names)))

    @property
    def ca(self) -> Path:
        """Certificate of the CA."""
        return self.folder / "ca.pem"

    @property
    def broker(self) -> Path:
        """Kafka's key and certificate in one file, as it wants them."""
        return self.folder / "kafka.pem"

    @property
    def redis(self) -> tuple[Path, Path]:
        """Redis's certificate and key."""
        return self.folder / "redis.pem", self.folder / "redis.key"

    @property
    def redis_users(self) -> Path:
        """Redis's ACL file."""
        return self.folder / "redis-users.acl"

    def user_folder(self, user: str) -> Path:
        """Where a user's secrets are; what EVERSCORE_SECRETS names."""
        return self.folder / "users" / user

    def certificate(self, user: str) -> tuple[Path, Path]:
        """A user's certificate and key."""
        return self.user_folder(user) / "certificate.pem", self.user_folder(user) / "key.pem"

    def password(self, user: str, server: str) -> str:
        """A user's password for KAFKA or REDIS."""
        return self._password_file(user, server).read_text().strip()

    def _password_file(self, user: str, server: str) -> Path:
        return self.user_folder(user) / f"EVERSCORE_{server}_PASSWORD"

    def ensure(self, *, now: datetime | None = None) -> tuple[str, ...]:
        """Make what is missing or has run out; the rest stays as it is.

        Parameters
        ----------
        now : datetime, optional
            The present by default.

        Returns
        -------
        tuple of str
            What was made.

        Raises
        ------
        ConfigurationError
            The folder is open to others.
        """
        now = now or datetime.now(UTC)
        self._take_folder()
        made: list[str] = []
        authority = self._authority(now, made)
        for name, paths in (("kafka", (self.broker,)), ("redis", self.redis)):
            if self._lacks(paths[0], authority, now, self.names):
                broker = BROKER if name == "kafka" else None
                names = dict.fromkeys((*_borne_by(paths[0]), *self.names))
                issued = authority.issue_server(names, now=now, also_client=broker)
                _write_pair(issued, *paths)
                made.append(f"certificate of {name}")
        for folder in (self.folder / "users", *map(self.user_folder, USERS)):
            folder.mkdir(mode=0o700, exist_ok=True)
        for user in USERS:
            if self._lacks(self.certificate(user)[0], authority, now):
                _write_pair(authority.issue_client(user, now=now), *self.certificate(user))
                made.append(f"certificate of {user}")
            for server in SERVERS:
                path = self._password_file(user, server)
                if not path.exists() and self.knows(user, server):
                    _write(path, secrets.token_urlsafe(_PASSWORD_BYTES).encode())
                    made.append(f"password of {user}")
        _write(self.redis_users, self._redis_acl().encode())
        return tuple(dict.fromkeys(made))

    def knows(self, user: str, server: str) -> bool:
        """Whether a server has a password for the user; Kafka's admin comes by certificate only."""
        if server == "KAFKA":
            return user != "admin"
        return bool(self._rules(user))

    def scram_users(self) -> dict[str, str]:
        """Kafka's users and their passwords."""
        known = [user for user in USERS if self.knows(user, "KAFKA")]
        return {user: self.password(user, "KAFKA") for user in known}

    def _take_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.folder.stat()
        if found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise ConfigurationError(
                f"{self.folder} is open to others, and secrets go there.",
                hint=f"chmod 700 {self.folder}",
            )

    def _authority(self, now: datetime, made: list[str]) -> Authority:
        key = self.folder / "ca.key"
        if self.ca.exists() and key.exists():
            authority = Authority(Certificate(self.ca.read_bytes(), key.read_bytes()))
            if expires_at(authority.own.certificate) > now + _RENEW_BEFORE:
                return authority
        authority = Authority.create("everscore local stack", now=now)
        _write_pair(authority.own, self.ca, key)
        made.append("CA")
        return authority

    def _lacks(
        self, path: Path, authority: Authority, now: datetime, names: tuple[str, ...] = ()
    ) -> bool:
        """Whether there is no certificate, or one of another CA, without some name, or of old."""
        if not path.exists():
            return True
        found = path.read_bytes()
        good = authority.signed(found) and expires_at(found) > now + _RENEW_BEFORE
        return not good or (bool(names) and not set(names) <= set(names_of(found)))

    def _rules(self, user: str) -> list[str]:
        keys = self.settings.keys
        return [rule for role in USERS[user] for rule in redis_rules(role, keys)]

    def _redis_acl(self) -> str:
        """Redis's users; of passwords it holds the digests only."""
        lines = ["user default off"]
        for user in USERS:
            if self.knows(user, "REDIS"):
                digest = hashlib.sha256(self.password(user, "REDIS").encode()).hexdigest()
                rules = " ".join(_joined(self._rules(user)))
                lines.append(f"user {user} on #{digest} {rules}")
        return "\n".join(lines) + "\n"

    def admin_access(self) -> dict[str, Any]:
        """Keyword arguments of an aiokafka client that comes as the admin."""
        return {
            "security_protocol": "SSL",
            "ssl_context": tls_context(self.ca, *self.certificate("admin"), None),
        }


def _borne_by(path: Path) -> list[str]:
    """Names that a certificate bears already, and keeps: somebody may use them."""
    return names_of(path.read_bytes()) if path.exists() else []


def _joined(rules: list[str]) -> list[str]:
    """Rules of several roles as those of one user: nothing of a later role undoes an earlier one."""
    resets = [rule for rule in rules if rule.startswith(("reset", "-"))]
    return list(dict.fromkeys([*resets, *(rule for rule in rules if rule not in resets)]))


def _write_pair(made: Certificate, certificate: Path, key: Path | None = None) -> None:
    if key is None:
        _write(certificate, made.key + made.certificate)
    else:
        _write(key, made.key)
        _write(certificate, made.certificate)


def _write(path: Path, content: bytes) -> None:
    """Write a file that only we may read, at no moment anybody else, and whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)
