"""The ASGI application: gate, routes, description, and the tasks that run beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ops.api.documents import Change
from ops.api.express import Express
from ops.api.gate import HEALTH_PATHS, Gate
from ops.api.problems import ApiError, Problem, as_api_error, problem_response
from ops.api.routes import changes, console, customers, health, model, segments
from ops.api.routes import service as service_room
from ops.api.service import Service
from ops.api.slashes import as_typed
from schemas.errors import PipelineError, shown

API_VERSION = "1.0"
_REASONS_MAX = 3
_PAUSE_SECONDS = 5.0
_TRIES_TO_END, _END_SECONDS = 10, 0.5
_SLASH_HINT = (
    " An id with a slash has it as %2F; where a proxy decodes that, ask POST /customers:batchGet."
)
_REFS = "#/components/schemas/{model}"

_log = logging.getLogger("everscore.api")

Task = Callable[[], Coroutine[Any, Any, None]]


def build_app(service: Service, tasks: Sequence[Task] = ()) -> FastAPI:
    """The application.

    Parameters
    ----------
    service : Service
    tasks : sequence of coroutine functions
        Run beside the routes from start to end.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        running = [asyncio.create_task(_again_and_again(task)) for task in tasks]
        try:
            yield
        finally:
            await _end(running)

    app = FastAPI(
        title="Everscore",
        version=API_VERSION,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    for room in (console, customers, segments, changes, model, health, service_room):
        app.include_router(room.router)
    app.add_middleware(Express, service=service)
    app.add_middleware(Gate, service=service)  # the last one added is the first one met
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(PipelineError, _failed)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


async def _again_and_again(task: Task) -> None:
    """Run a task for ever; a fault of ours in it is logged, and is no reason to know nothing any more."""
    while True:
        try:
            await task()
        except Exception:
            _log.exception("%s failed", getattr(task, "__qualname__", task))
        await asyncio.sleep(_PAUSE_SECONDS)


async def _end(running: list[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: one that is asking Kafka may miss it once."""
    for _ in range(_TRIES_TO_END):
        waiting = [task for task in running if not task.done()]
        if not waiting:
            return
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=_END_SECONDS)
    _log.error("%d tasks did not end", len(waiting))


async def _invalid(request: Request, error: Any) -> Response:
    """A variable of a route is not as described."""
    reasons = []
    for detail in error.errors()[:_REASONS_MAX]:
        place = ".".join(str(part) for part in detail["loc"][1:]) or "the body"
        said = detail["msg"].removeprefix("Value error, ")
        found = "" if detail["type"] == "missing" else f" (found {shown(detail.get('input'))})"
        reasons.append(f"{place}: {said}{found}")
    told = ApiError(422, "invalid-request", "; ".join(reasons))
    return problem_response(told, request.state.request_id)


async def _refused(request: Request, error: Any) -> Response:
    path = as_typed(request.scope["path"])
    kind, detail = {
        404: (
            "unknown-route",
            f"There is nothing at {shown(path)}; /welcome lists what there is."
            + (_SLASH_HINT if path.startswith("/customers/") else ""),
        ),
        405: ("method-not-allowed", f"Not by {request.method}."),
        400: ("invalid-request", "The body is no JSON in UTF-8."),
    }.get(error.status_code, ("refused", str(error.detail)))
    status = (
        422 if error.status_code == 400 else error.status_code
    )  # as whatever else is not as described
    told = ApiError(status, kind, detail, error.headers)
    return problem_response(told, request.state.request_id)


async def _failed(request: Request, error: Any) -> Response:
    told = as_api_error(error)
    if told.status >= 500:
        raise error  # the gate logs it, and answers
    return problem_response(told, request.state.request_id)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1: as FastAPI writes it, with our problems, and the key that all but health needs."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version="3.1.0",
            summary="Customers as of now: P(alive), segment, what comes next, and why.",
            description="Answers come from Redis, read-only. Errors are problem details (RFC 9457). Every "
            "answer bears a `Request-Id`, the caller's own if it sends one.",
            routes=app.routes,
        )
        schemas = document["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for extra in (Problem, Change):
            schema = extra.model_json_schema(ref_template=_REFS)
            schemas |= schema.pop("$defs", {}) | {extra.__name__: schema}
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: evs_…"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["security"] = [{"bearer": []}, {"header": []}]
        for path in HEALTH_PATHS:
            document["paths"][path]["get"]["security"] = []
        app.openapi_schema = document
    return app.openapi_schema
