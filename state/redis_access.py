"""Who we are to Redis, and how we know that it is Redis, as its client takes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """Who we are to Redis, and how we know that it is Redis; what the URL says comes first.

    Attributes
    ----------
    username, password : str, optional
        Of an ACL user; a password alone is that of the user `default`.
    ca : Path, optional
        PEM; who vouches for the server of a rediss:// URL, else whom this machine trusts.
    certificate, key : Path, optional
        PEM; our own for mTLS, both or neither.
    key_password : str, optional
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: str | None = field(default=None, repr=False)

    def arguments(self, *, tls: bool) -> dict[str, Any]:
        """Keyword arguments of the client."""
        arguments: dict[str, Any] = {"username": self.username, "password": self.password}
        if tls:
            arguments |= {
                "ssl_check_hostname": True,  # not the default before redis-py 6
                "ssl_ca_certs": None if self.ca is None else str(self.ca),
                "ssl_certfile": None if self.certificate is None else str(self.certificate),
                "ssl_keyfile": None if self.key is None else str(self.key),
                # Always a password: OpenSSL would ask for one on the terminal.
                "ssl_password": self.key_password or "",
            }
        return arguments
