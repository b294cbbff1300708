"""The state of the service: how far workers are, how fast, by which numbers, and what they refused."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from ops.api.overview_documents import ServiceState
from ops.api.policy import Right
from ops.api.routes.customers import remembered
from ops.api.routes.shared import described
from ops.api.service import Ask, Needs, answer
from ops.customers import moment
from schemas.learning import Learning
from schemas.scorecard import Scorecard
from scoring.states import UNKNOWN_US

router = APIRouter(tags=["service"])


@router.get(
    "/service",
    responses=described(ServiceState),
    response_model=None,
    summary="Lag, events a second, the scorecard, dead letters",
)
async def service_state(ask: Annotated[Ask, Depends(Needs(Right.SERVICE))]) -> Response:
    """As this API last saw it. What it cannot know, read-only, is null: no worker is asked."""
    service = ask.service
    watch, lookup = service.watch, service.lookup
    partitions = []
    for partition in range(await lookup.partitions()):
        checkpoint = watch.checkpoint(partition)
        partitions.append(
            {
                "partition": partition,
                "owner": checkpoint.owner or None if checkpoint else None,
                "applied": checkpoint.applied if checkpoint else None,
                "duplicates": checkpoint.duplicates if checkpoint else None,
                "dead": checkpoint.dead if checkpoint else None,
            }
            | asdict(watch.standing(partition))
        )
    lags = [one["lag_records"] for one in partitions]
    return answer(
        {
            "now": service.now(),
            "version": version("everscore"),
            "lag_records": None if None in lags else sum(lags),
            "events_per_second": watch.events_per_second,
            "partitions": partitions,
            "scorecard": await _scorecard(ask),
            "changes": remembered(ask),
            "dead_letters": _dead_letters(ask, partitions),
        }
    )


async def _scorecard(ask: Ask) -> dict[str, Any] | None:
    """The one in use, without what only scoring needs."""
    checkpoint, timeline = await ask.service.lookup.timeline(0)
    if not checkpoint.adoptions:
        return None
    card: Scorecard = timeline.card.scorecard
    training = card.training
    learning = ask.service.watch.learning
    if learning is not None and learning.version != card.version:
        learning = None  # it is about another scorecard
    return {
        "version": card.version,
        "family": card.alive.family.value,
        "segments": list(card.segments),
        "adopted_at": _adopted(timeline.adoptions[-1][0]),
        "method": training.method,
        "customers": training.customers,
        "observed_at": training.observed_at,
        "inertia_per_customer": training.inertia_per_customer,
        "previous_inertia_per_customer": training.previous_inertia_per_customer,
        "fit": _fit(learning),
        "shadow": _shadow(learning),
    }


def _fit(learning: Learning | None) -> dict[str, Any] | None:
    if learning is None or learning.fit is None:
        return None
    fit = learning.fit
    return {
        "looked_at": fit.looked_at,
        "inertia_ratio": fit.inertia_ratios[-1],
        "buyers_excess": fit.excesses[-1] if fit.excesses else None,
        "drifts": [drift.kind for drift in fit.drifts],
    }


def _shadow(learning: Learning | None) -> dict[str, Any] | None:
    if learning is None or learning.shadow is None:
        return None
    shadow = learning.shadow
    return {
        "judged_at": shadow.judged_at,
        "customers": shadow.customers,
        "moved": shadow.moved,
        "gain": shadow.gain,
    }


def _adopted(adopted_at_us: int) -> datetime | None:
    return None if adopted_at_us == UNKNOWN_US else moment(adopted_at_us)


def _dead_letters(ask: Ask, partitions: list[dict[str, Any]]) -> dict[str, Any]:
    """Reasons quote what they refuse: only who may see ids in clear is shown them."""
    letters = ask.service.dead_letters
    told = [one["dead"] for one in partitions]
    return {
        "counted": None if None in told else sum(told),
        "following": letters.following,
        "reasons": [
            {"error": name, "letters": count} for name, count in letters.reasons.most_common()
        ],
        "latest": [
            {
                "at": one.at,
                "died_at": one.died_at,
                "error": one.letter.error_class,
                "message": one.letter.message if ask.view.clear else None,
                "source": f"{one.letter.topic} {one.letter.partition}:{one.letter.offset}",
            }
            for one in reversed(letters.latest)
        ],
    }
