"""The numbers alone, for clients of older model services: no customer, no store, three variables.

Owns their contract: what is missing or wrong is named in a body `{"code": 503, "message": {"INVALID
REQUEST": …}}`, and P(alive) is text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ops.api.documents import InvalidRequest, Placed, Predicted
from ops.api.policy import Right
from ops.api.problems import RETRY_SECONDS, ApiError
from ops.api.routes.shared import described
from ops.api.service import Ask, Needs, answer
from schemas.errors import shown
from scoring.alive import prob_alive
from scoring.states import NONE
from scoring.timeline import Card

_FREQUENCY_MAX = 1_000_000
_DAYS_MAX = 100_000.0
_MONEY_MAX = 1e12

router = APIRouter(tags=["model"])
MayModel = Annotated[Ask, Depends(Needs(Right.MODEL))]


class PredictAsk(BaseModel):
    """Variables of /predict, as lifetimes names them."""

    model_config = ConfigDict(extra="allow")

    frequency: int = Field(ge=0, le=_FREQUENCY_MAX, description="Repeat purchase days.")
    recency: float = Field(ge=0, le=_DAYS_MAX, description="Days, first to last purchase.")
    T: float = Field(ge=0, le=_DAYS_MAX, description="Days, first purchase to now; >= recency.")


class SegmentAsk(BaseModel):
    """Variables of /segment, as RFM has them."""

    model_config = ConfigDict(extra="allow")

    recency: float = Field(ge=0, le=_DAYS_MAX, description="Days since the last purchase.")
    frequency: int = Field(ge=0, le=_FREQUENCY_MAX, description="Repeat purchase days.")
    monetary: float = Field(
        ge=-_MONEY_MAX,
        le=_MONEY_MAX,
        description="Mean value of a repeat purchase day, major units.",
    )


class _InvalidError(Exception):
    """A variable is missing or wrong."""


def _number(given: Mapping[str, Any], name: str, least: float, most: float) -> float:
    if name not in given:
        raise _InvalidError(f"{name} is missing")
    value = given[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _InvalidError(f"{name} {shown(value)} is not a number")
    if not least <= value <= most:
        raise _InvalidError(f"{name} {shown(value)} must lie between {least:g} and {most:g}")
    return float(value)


def _count(given: Mapping[str, Any], name: str) -> int:
    value = _number(given, name, 0, _FREQUENCY_MAX)
    if value != int(value):
        raise _InvalidError(f"{name} {shown(given[name])} is not a whole number")
    return int(value)


async def _variables(request: Request) -> Mapping[str, Any]:
    try:
        given = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise _InvalidError("the body is not JSON") from None
    if not isinstance(given, dict):
        raise _InvalidError("the body is not a JSON object of variables")
    return given


def _refused(ask: Ask, error: _InvalidError) -> Response:
    status = 503 if ask.service.settings.legacy_status else 422
    return answer({"code": 503, "message": {"INVALID REQUEST": str(error)}}, status=status)


async def _card(ask: Ask) -> Card:
    """The scorecard now in use.

    Raises
    ------
    ApiError
        There is none.
    """
    lookup = ask.service.lookup
    await lookup.partitions()
    checkpoint, timeline = await lookup.timeline(0)
    if not checkpoint.adoptions:
        raise ApiError(
            503,
            "no-scorecard",
            "No worker has adopted a scorecard yet.",
            {"Retry-After": str(RETRY_SECONDS)},
        )
    return timeline.card


def _described(model: type[BaseModel], asked: type[BaseModel]) -> dict[str, Any]:
    responses = described(model)
    refused = {"schema": InvalidRequest.model_json_schema()}
    responses[422] = {
        "description": "A variable is missing or wrong; status 503 where the older services' is set.",
        "content": {"application/json": refused},
    }
    responses[503]["content"]["application/json"] = refused
    body = {
        "content": {"application/json": {"schema": asked.model_json_schema()}},
        "required": True,
    }
    return {"responses": responses, "openapi_extra": {"requestBody": body}, "response_model": None}


@router.post("/predict", summary="P(alive) of three numbers", **_described(Predicted, PredictAsk))
async def predict(ask: MayModel, request: Request) -> Response:
    """P(alive) by the scorecard now in use; equal to lifetimes'."""
    try:
        given = await _variables(request)
        frequency = _count(given, "frequency")
        t_x = _number(given, "recency", 0, _DAYS_MAX)
        age = _number(given, "T", 0, _DAYS_MAX)
        if t_x > age:
            raise _InvalidError(f"recency {given['recency']} must not be more than T {given['T']}")
    except _InvalidError as error:
        return _refused(ask, error)
    card = await _card(ask)
    alive = prob_alive(np.array([frequency]), np.array([t_x]), np.array([age]), card.alive)
    data = {"prob_alive": repr(float(alive[0]))}
    return answer({"code": 200, "status": "success", "data": data})


@router.post("/segment", summary="The segment of three numbers", **_described(Placed, SegmentAsk))
async def segment(ask: MayModel, request: Request) -> Response:
    """The segment in which the scorecard now in use puts a customer without a history.

    P(alive) needs the time from first to last purchase, which these three numbers do not have: it is
    taken to be the one in which the model expects so many purchases, frequency · alpha / r.
    """
    try:
        given = await _variables(request)
        silence = _number(given, "recency", 0, _DAYS_MAX)
        frequency = np.array([_count(given, "frequency")])
        monetary = np.array([_number(given, "monetary", -_MONEY_MAX, _MONEY_MAX)])
    except _InvalidError as error:
        return _refused(ask, error)
    card = await _card(ask)
    t_x = frequency * (card.alive.alpha_days / card.alive.r)
    alive = prob_alive(frequency, t_x, t_x + silence, card.alive)
    z = card.segmenter.features(alive, frequency, monetary)
    cluster = int(card.segmenter.assign(z, np.array([NONE]))[0])
    name = card.segmenter.names[cluster]
    return answer({"cluster": cluster, "segment": name, "input_data": given})
