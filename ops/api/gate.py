"""The way in: a name for every request, a bound on its body, a key, a rate; and one shape for refusals.

Stands before the routes, so that no route can forget it: without a key only health answers, and the
files of the console, which know nobody.
"""

from __future__ import annotations

import logging
import os
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ops.api.problems import ApiError, as_api_error, problem_response
from ops.api.routes.console import PATHS as CONSOLE_PATHS
from ops.api.service import Service, take_tokens
from ops.api.settings import is_loopback
from ops.api.slashes import told_apart
from schemas.errors import PipelineError

BODY_BYTES_MAX = 64 * 1024
HEALTH_PATHS = frozenset({"/health/live", "/health/ready"})
OPEN_PATHS = HEALTH_PATHS | CONSOLE_PATHS
_PORT = re.compile(r":\d+$")
_REQUEST_ID_BYTES = 16
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Of one address: nobody guesses 256 bits, but guessing costs us time.
_WRONG_KEYS_PER_SECOND, _WRONG_KEYS_BURST = 5.0, 20

_log = logging.getLogger("everscore.api")


class Gate:
    """ASGI middleware.

    Parameters
    ----------
    app : ASGIApp
    service : Service
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = told_apart(scope)
        began = time.perf_counter()
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get(b"request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else os.urandom(_REQUEST_ID_BYTES).hex()
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    (b"request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    *([] if b"cache-control" in present else [(b"cache-control", b"no-store")]),
                ]
                self._tell(scope, status, time.perf_counter() - began)
            await send(message)

        try:
            if scope["path"] not in OPEN_PATHS:
                self._let_in(scope, headers)
            await self._app(scope, await _body(scope, headers, receive), named)
        except PipelineError as error:
            told = as_api_error(error)
            if told.status >= 500:
                _log.warning("request %s: %s", request_id, error)
        except Exception:
            _log.exception("request %s failed", request_id)
            told = ApiError(
                500, "internal-error", "A fault of ours; the operator's log has it by its instance."
            )
        else:
            return
        if status == 0:
            await problem_response(told, request_id)(scope, receive, named)

    def _let_in(self, scope: Scope, headers: dict[bytes, str]) -> None:
        scheme, _, text = headers.get(b"authorization", "").partition(" ")
        shown = text.strip() if scheme.lower() == "bearer" else headers.get(b"x-api-key")
        if not self._service.settings.authentication and not _names_this_machine(headers):
            raise ApiError(
                421,
                "other-host",
                "Without authentication only requests to 127.0.0.1 or localhost are answered: a name that "
                "leads here may be another page's, which would read with its visitor's hands.",
            )
        key = self._service.caller(shown)
        if key is not None:
            scope["state"]["key"] = key
            take_tokens(self._service, key)
            return
        self._service.metrics.refused.inc()
        host = (scope.get("client") or ("",))[0]
        if shown is not None:
            wait = self._service.limit.wait_seconds(
                f"address {host}",
                _WRONG_KEYS_PER_SECOND,
                _WRONG_KEYS_BURST,
                now=self._service.rising(),
            )
            if wait:
                raise ApiError(
                    429,
                    "too-many-requests",
                    f"Too many wrong keys from {host}. Come back in {wait} s.",
                    {"Retry-After": str(wait)},
                )
        what = "This key opens nothing: it is wrong, expired or revoked" if shown else "No key"
        raise ApiError(
            401,
            "unauthenticated",
            f"{what}. Send one as `Authorization: Bearer evs_…`; an operator makes them with "
            "`everscore key create NAME --role pii-reader`.",
            {"WWW-Authenticate": 'Bearer realm="everscore"'},
        )

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path_format", "other")
        method = scope["method"] if route != "other" else "other"
        self._service.metrics.answered(route, method, status, seconds)


def _names_this_machine(headers: dict[bytes, str]) -> bool:
    """Whether the browser meant this machine: a foreign page can have its own name lead here.

    Such a page is of the same origin as we are to the browser, and only the name tells (DNS rebinding).
    """
    return is_loopback(_PORT.sub("", headers.get(b"host", "")).strip("[]"))


async def _body(scope: Scope, headers: dict[bytes, str], receive: Receive) -> Receive:
    """The body, read whole and handed on; refused where it is too large, whatever was announced."""
    announced = headers.get(b"content-length", "0")
    if not announced.isdecimal() or int(announced) > BODY_BYTES_MAX:
        raise _too_large()
    if scope["method"] in {"GET", "HEAD"}:
        return receive
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return receive  # gone
        part = message.get("body", b"")
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise _too_large()
        parts.append(part)
        more = message.get("more_body", False)
    whole: list[Message] = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

    async def replay() -> Message:
        return whole.pop() if whole else await receive()

    return replay


def _too_large() -> ApiError:
    return ApiError(
        413,
        "body-too-large",
        f"A body has {BODY_BYTES_MAX:,} bytes at most; ask for fewer customers at once.",
        {"Connection": "close"},
    )
