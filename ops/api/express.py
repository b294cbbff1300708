"""The question asked most, one customer as of now, without what the framework does for every question.

Resolving parameters and dependencies costs more than the answer. This takes `GET /customers/{id}` without a
query, and hands everything else on; the answer is the route's own function. A test asks both ways and wants
the same bytes, so nothing about the route may live in its declaration alone.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from ops.api.policy import Right
from ops.api.routes.customers import profile
from ops.api.service import Service, ask_of
from ops.api.slashes import as_meant

_PREFIX = "/customers/"


class Express:
    """ASGI middleware behind the gate.

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
        customer_id = _plainly_asked_for(scope)
        if customer_id is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = _Route  # for the metrics
        state = scope["state"]
        ask = ask_of(self._service, state["key"], Right.CUSTOMERS, state["request_id"])
        given = next((value for name, value in scope["headers"] if name == b"if-none-match"), None)
        etag = None if given is None else given.decode("latin-1")
        response = await profile(ask, customer_id, if_none_match=etag)
        await response(scope, receive, send)


class _Route:
    """Stands for the framework's route."""

    path_format = "/customers/{customer_id}"


def _plainly_asked_for(scope: Scope) -> str | None:
    """Whom a request asks for; None if it asks for anything else, or for more."""
    if (
        scope["type"] != "http"
        or scope["method"] != "GET"
        or scope["query_string"]
        or scope.get("root_path")
    ):
        return None
    path: str = scope["path"]
    if not path.startswith(_PREFIX):
        return None
    customer_id = path[len(_PREFIX) :]
    return as_meant(customer_id) if customer_id and "/" not in customer_id else None
