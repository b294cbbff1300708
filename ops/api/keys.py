"""API keys: made once, shown once, kept hashed in a file.

A key is 256 random bits, so SHA-256 keeps it as well as any slow hash would, in a microsecond a
request. The file also holds the secret behind pseudonyms: made with the first key, and never
changed, or what readers have noted of customers would fit nobody any more.

Why a file and not Redis: ops/decisions/0015-keys-in-a-file.md.
"""

from __future__ import annotations

import fcntl
import hmac
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints, ValidationError

from ops.api.policy import Role
from schemas.errors import ConfigurationError, shown

_KEY = re.compile(r"evs_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
_SECRET_BYTES = 32
_LOOK_SECONDS = 1.0  # a key that is revoked is refused this much later at most
_DIGEST = r"^[0-9a-f]{64}$"

KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._@-]{1,64}$")]


class ApiKey(BaseModel):
    """What is kept of a key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}$")]
    name: KeyName
    role: Role
    sha256: Annotated[str, StringConstraints(pattern=_DIGEST)]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether it opens anything."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class KeyRing(BaseModel):
    """Content of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pseudonym_secret: Annotated[str, StringConstraints(pattern=_DIGEST)]
    keys: tuple[ApiKey, ...] = ()


class KeyFile:
    """The keys of a file.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ring: KeyRing | None = None
        self._by_id: dict[str, ApiKey] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._looked_at = -_LOOK_SECONDS

    def read(self) -> KeyRing | None:
        """What the file holds; None if there is none.

        Raises
        ------
        ConfigurationError
            It cannot be read, or somebody else wrote it.
        """
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"cannot read {self.path}: {error.strerror}.") from None
        try:
            return KeyRing.model_validate_json(text)
        except ValidationError as error:
            detail = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in detail["loc"]) or "the file"
            raise ConfigurationError(
                f"{self.path} is no file of API keys: {place}: {detail['msg']}.",
                hint="Restore it, or move it away and make new keys: everscore key create.",
            ) from None

    def prepare(self) -> None:
        """Make the file if there is none, with the secret behind pseudonyms: keys may come later.

        Raises
        ------
        ConfigurationError
            It cannot be written, or is none.
        """
        if self.read() is None:
            with self._rewriting():
                pass  # the secret is made with the file

    def create(
        self, name: str, role: Role, *, now: datetime, days: float | None = None
    ) -> tuple[ApiKey, str]:
        """A new key.

        Returns
        -------
        ApiKey
            As kept.
        str
            The key itself, which is kept nowhere.

        Raises
        ------
        ConfigurationError
            A valid key has that name, or the file cannot be written.
        """
        with self._rewriting() as keys:
            if any(key.name == name and key.is_valid(now) for key in keys):
                raise ConfigurationError(
                    f"there is a key {name!r} already.",
                    hint=f"Choose another name, or revoke it: everscore key revoke {name}.",
                )
            key_id = secrets.token_hex(4)
            text = f"evs_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
            try:
                made = ApiKey(
                    id=key_id,
                    name=name,
                    role=role,
                    sha256=sha256(text.encode()).hexdigest(),
                    created_at=now,
                    expires_at=None if days is None else now + timedelta(days=days),
                )
            except ValidationError:
                raise ConfigurationError(
                    f"{shown(name)} is no name of a key: 1 to 64 letters, digits, . _ @ or -."
                ) from None
            keys.append(made)
        return made, text

    def revoke(self, name_or_id: str, *, now: datetime) -> ApiKey:
        """Make a key worthless; it stays listed.

        Raises
        ------
        ConfigurationError
            There is no such key, or the file cannot be written.
        """
        with self._rewriting() as keys:
            for position, key in enumerate(keys):
                if name_or_id in (key.name, key.id) and key.revoked_at is None:
                    keys[position] = key.model_copy(update={"revoked_at": now})
                    return keys[position]
            raise ConfigurationError(
                f"there is no key {shown(name_or_id)} to revoke.", hint="See: everscore key ls."
            )

    @contextmanager
    def _rewriting(self) -> Iterator[list[ApiKey]]:
        """The keys, to be changed in place; written as a whole, by one at a time, or not at all."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with (self.path.parent / f"{self.path.name}.lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                ring = self.read() or KeyRing(pseudonym_secret=secrets.token_hex(_SECRET_BYTES))
                keys = list(ring.keys)
                yield keys
                after = ring.model_copy(update={"keys": tuple(keys)})
                draft = self.path.with_name(f"{self.path.name}.{os.getpid()}")
                with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
                    out.write(after.model_dump_json(indent=1))
                    out.flush()
                    os.fsync(out.fileno())
                draft.replace(self.path)
        except OSError as error:
            raise ConfigurationError(f"cannot write {self.path}: {error.strerror}.") from None

    def find(self, text: str, now: datetime) -> ApiKey | None:
        """The key that a caller has shown; None if it opens nothing."""
        self._look_again()
        shape = _KEY.fullmatch(text)
        key = self._by_id.get(shape[1]) if shape else None
        digest = sha256(text.encode()).hexdigest()
        if key is None or not hmac.compare_digest(digest, key.sha256) or not key.is_valid(now):
            return None
        return key

    def is_valid(self, key_id: str, now: datetime) -> bool:
        """Whether a key that was let in still would be."""
        self._look_again()
        key = self._by_id.get(key_id)
        return key is not None and key.is_valid(now)

    @property
    def pseudonym_secret(self) -> bytes:
        """The secret behind pseudonyms.

        Raises
        ------
        ConfigurationError
            No key was ever made.
        """
        self._look_again()
        if self._ring is None:
            raise ConfigurationError(
                f"there are no API keys in {self.path}.",
                hint="Make one: everscore key create NAME --role pii-reader.",
            )
        return bytes.fromhex(self._ring.pseudonym_secret)

    def _look_again(self) -> None:
        """Read the file if it has changed; one that is gone, or broken, opens nothing."""
        if time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        try:
            found = self.path.stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        except OSError:
            stamp = None
        if stamp == self._stamp and stamp is not None:
            return
        self._stamp = stamp
        try:
            ring = self.read()
        except ConfigurationError:
            ring = None
        self._ring = ring or self._ring  # pseudonyms stay what they are
        self._by_id = {} if ring is None else {key.id: key for key in ring.keys}


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)
