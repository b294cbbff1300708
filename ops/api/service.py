"""What every route needs: the store, the callers' rights, and what the API remembers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ops.api.audit import AuditLog
from ops.api.census import Census
from ops.api.changes_memory import ChangesMemory
from ops.api.dead_letters import DeadLetters
from ops.api.keys import ApiKey, KeyFile, utc_now
from ops.api.metrics import Metrics
from ops.api.policy import Policy, Right, Role
from ops.api.problems import ApiError
from ops.api.rate_limit import Limit, RateLimit
from ops.api.settings import ApiSettings
from ops.api.view import View, pseudonym
from ops.api.watch import Watch
from ops.lookup import Lookup
from schemas.errors import ConfigurationError

_encode = msgspec.json.Encoder().encode
# Where authentication is off, whoever can connect is this one.
_ANYBODY = ApiKey(
    id="0" * 8, name="anybody", role=Role.ADMIN, sha256="0" * 64, created_at=utc_now()
)


@dataclass(slots=True)
class Service:
    """Joined by `everscore serve`, or by a test.

    Attributes
    ----------
    now : callable
        The wall clock.
    rising : callable
        Seconds of a clock that only rises.
    limit : Limit
    streams : int
        Open ones of /changes.
    """

    settings: ApiSettings
    policy: Policy
    keys: KeyFile
    lookup: Lookup
    changes: ChangesMemory
    census: Census
    watch: Watch
    audit: AuditLog
    metrics: Metrics
    now: Callable[[], datetime] = utc_now
    rising: Callable[[], float] = time.monotonic
    dead_letters: DeadLetters = field(default_factory=DeadLetters)
    limit: Limit = field(default_factory=RateLimit)
    streams: int = 0
    _spare_secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    @property
    def wall_us(self) -> int:
        """The wall clock, microseconds since 1970 UTC."""
        return round(self.now().timestamp() * 1e6)

    @property
    def secret(self) -> bytes:
        """Behind pseudonyms."""
        try:
            return self.keys.pseudonym_secret
        except ConfigurationError:
            if self.settings.authentication:
                raise
            return self._spare_secret

    def caller(self, shown: str | None) -> ApiKey | None:
        """Who shows this key; None if it opens nothing."""
        if not self.settings.authentication:
            return _ANYBODY
        return None if shown is None else self.keys.find(shown, self.now())

    def still_welcome(self, key: ApiKey) -> bool:
        """Whether a caller who was let in still would be."""
        return not self.settings.authentication or self.keys.is_valid(key.id, self.now())


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: who asks, and what they may see."""

    service: Service
    key: ApiKey
    view: View
    request_id: str

    def note(self, action: str, customer_ids: Sequence[str], **more: object) -> None:
        """Write down who looked whom up, before the answer is given."""
        service = self.service
        names = [pseudonym(service.secret, customer_id) for customer_id in customer_ids]
        service.audit.note(service.now(), self.key, self.request_id, action, names, **more)

    def spend(self, cost: int) -> None:
        """Take more of the caller's rate than the one token of every request.

        Raises
        ------
        ApiError
            There is not as much.
        """
        take_tokens(self.service, self.key, cost)


def take_tokens(service: Service, key: ApiKey, cost: int = 1) -> None:
    """Let a caller go on, or say when they may come back.

    Raises
    ------
    ApiError
        Too many requests.
    """
    rights = service.policy.roles[key.role]
    wait = service.limit.wait_seconds(
        key.id, rights.requests_per_second, rights.burst, now=service.rising(), cost=cost
    )
    if wait:
        service.metrics.limited.inc()
        raise ApiError(
            429,
            "too-many-requests",
            f"Key {key.name!r} may ask {rights.requests_per_second:g} times a second. "
            f"Come back in {wait} s.",
            {"Retry-After": str(wait)},
        )


def ask_of(service: Service, key: ApiKey, right: Right | None, request_id: str) -> Ask:
    """What a route works with.

    Parameters
    ----------
    key : ApiKey
        The caller's.
    right : Right or None
        That their role must have; None: any key will do.

    Raises
    ------
    ApiError
        The role does not have the right.
    """
    rights = service.policy.roles[key.role]
    if right is not None and right not in rights.may:
        raise ApiError(
            403,
            "forbidden",
            f"Role {key.role.value} may not ask for this: it takes the right "
            f"{right.value!r}, which the policy gives to "
            + ", ".join(
                role.value for role, other in service.policy.roles.items() if right in other.may
            )
            + ".",
        )
    return Ask(service, key, View(rights, service.secret), request_id)


class Needs:
    """A dependency of a route: the caller's role must have a right.

    Parameters
    ----------
    right : Right, optional
        Without one, any key will do.
    """

    def __init__(self, right: Right | None = None) -> None:
        self.right = right

    async def __call__(self, request: Request) -> Ask:
        """What the route works with.

        Raises
        ------
        ApiError
            The role does not have the right.
        """
        state = request.state
        return ask_of(request.app.state.service, state.key, self.right, state.request_id)


def answer(body: Any, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(
        _encode(body), status_code=status, headers=headers, media_type="application/json"
    )
