"""Is it alive, can it answer, what does it count; and where to go from here."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from ops.api.documents import Health, Ready, Welcome
from ops.api.metrics import MEDIA_TYPE
from ops.api.policy import Right
from ops.api.routes.shared import described
from ops.api.service import Ask, Needs, Service, answer

router = APIRouter(tags=["service"])


@router.get(
    "/welcome",
    responses=described(Welcome),
    response_model=None,
    summary="Where to go from here",
)
async def welcome(ask: Annotated[Ask, Depends(Needs())], request: Request) -> Response:
    """What this is, what your key may do, and which routes there are."""
    rights = ask.service.policy.roles[ask.key.role]
    settings = ask.service.lookup.settings
    paths: dict[str, dict[str, object]] = request.app.openapi()["paths"]
    return answer(
        {
            "service": "everscore",
            "version": version("everscore"),
            "key": ask.key.name,
            "role": ask.key.role.value,
            "may": sorted(right.value for right in rights.may),
            "ids": rights.ids.value,
            "dates": rights.dates.value,
            "currency": settings.currency,
            "timezone": settings.timezone,
            "openapi": "/openapi.json",
            "routes": [
                f"{method.upper()} {path}" for path, ways in paths.items() for method in ways
            ],
        }
    )


@router.get("/openapi.json", include_in_schema=False)
async def openapi(_ask: Annotated[Ask, Depends(Needs())], request: Request) -> Response:
    """What the API can be asked, as OpenAPI 3.1."""
    return answer(request.app.openapi())


@router.get(
    "/health/live",
    responses={200: {"model": Health, "description": "It runs."}},
    response_model=None,
    summary="Does it run",
)
async def live(request: Request) -> Response:
    """Answers as long as the process does; needs no key."""
    service: Service = request.app.state.service
    return answer({"status": "live", "authentication": service.settings.authentication})


@router.get(
    "/health/ready",
    responses={200: {"model": Ready, "description": "It can answer."}, 503: described(None)[503]},
    response_model=None,
    summary="Can it answer",
)
async def ready(request: Request) -> Response:
    """Whether Redis answers and has an installation; needs no key.

    Without Kafka customers are still served, only changes stand still: `changes` says so.
    """
    service: Service = request.app.state.service
    await service.lookup.store.checkpoint(0)
    await service.lookup.partitions()
    memory = service.changes
    changes = "caught up" if memory.caught_up else "catching up"
    return answer({"status": "ready", "changes": changes if memory.following else "away"})


@router.get(
    "/metrics",
    responses=described(None)
    | {
        200: {
            "description": "Prometheus text.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }
    },
    response_model=None,
    summary="Numbers for Prometheus",
)
async def metrics(ask: Annotated[Ask, Depends(Needs(Right.METRICS))]) -> Response:
    """Requests and their times, lag by partition, customers by segment, changes remembered."""
    return Response(ask.service.metrics.text(), media_type=MEDIA_TYPE)
