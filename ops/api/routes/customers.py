"""One customer, many customers, what silence will bring them, and what happened to them."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from ops.api.documents import Batch, History, Outlook, Profile
from ops.api.policy import Right
from ops.api.problems import ApiError
from ops.api.routes.shared import (
    ONE_CUSTOMER,
    At,
    CustomerIdPath,
    Ids,
    Moment,
    described,
    moment_us,
)
from ops.api.service import Ask, Needs, answer
from ops.customers import Customer
from schemas.change import Cause
from schemas.transaction import EPOCH, is_customer_id
from streams.homes import home_partition

BATCH_IDS_MAX = 1_000
_IDS_OF_ONE_TOKEN = 100
_IDS_AT_ONCE = 20  # then others come in between: a profile takes some hundred microseconds
OUTLOOK_DAYS_MAX = 730
COURSE_DAYS_MAX = 1_830  # five years: 60 kB
_PURCHASE_DAYS_MAX = 400
_PSEUDONYM = re.compile(r"[0-9a-f]{64}")
# An answer confirmed by 304 has a P(alive) at most so old.
_SAME_FOR_US = 3_600_000_000

router = APIRouter(tags=["customers"])
MayCustomers = Annotated[Ask, Depends(Needs(Right.CUSTOMERS))]
MayHistory = Annotated[Ask, Depends(Needs(Right.HISTORY))]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match")]


class BatchAsk(BaseModel):
    """Whom to look up."""

    model_config = ConfigDict(extra="forbid")

    ids: list[Ids] = Field(min_length=1, max_length=BATCH_IDS_MAX)
    at: Annotated[str | None, Moment] = Field(None, description="As `at` of one customer.")


def clear_id(ask: Ask, customer_id: str) -> str:
    """A customer id as the store has it; pseudonyms are those of the last count."""
    if _PSEUDONYM.fullmatch(customer_id):
        return ask.service.census.id_of(customer_id) or customer_id
    return customer_id


def day_of(ask: Ask, at: str | None) -> int | None:
    """The moment of an `at`.

    Raises
    ------
    ApiError
        It is none, or its answer would tell the day of a purchase to one who may only know the quarter.
    """
    at_us = moment_us(at, ask.service.lookup.calendar)
    if at_us is None or ask.view.exact or _ends_a_quarter(at or ""):
        return at_us
    raise ApiError(
        403,
        "by-the-quarter",
        f"Role {ask.key.role.value} sees dates by the quarter: `at` is the last day of one, such as "
        "1998-06-30.",
    )


def _ends_a_quarter(at: str) -> bool:
    return at[4:] in {"-03-31", "-06-30", "-09-30", "-12-31"}


async def look_up(ask: Ask, customer_id: str, action: str, at: str | None = None) -> Customer:
    """One customer; written down first, known or not."""
    name = clear_id(ask, customer_id)
    lookup = ask.service.lookup
    at_us = day_of(ask, at)
    if is_customer_id(name):  # what is none is refused by the look-up, and nobody's
        ask.note(action, [name], **({} if at is None else {"as_of": at}))
    return await lookup.find(name, ask.service.wall_us, at_us)


@router.get(
    ONE_CUSTOMER,
    responses=described(Profile, 304, 404),
    response_model=None,
    summary="One customer as of now, or as of another day",
)
async def profile(
    ask: MayCustomers, customer_id: CustomerIdPath, at: At = None, if_none_match: IfNoneMatch = None
) -> Response:
    """P(alive), segment, RFM, value and what comes next, computed for this moment.

    `ETag` stays the same until a purchase, a change or a scorecard comes, and for an hour at most:
    only then has P(alive) moved by silence alone.
    """
    customer = await look_up(ask, customer_id, "customer", at)
    headers = {"ETag": etag_of(customer, ask), "Cache-Control": "private, no-cache"}
    if if_none_match is not None and _matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return answer(await profile_of(ask, customer), headers)


async def profile_of(ask: Ask, customer: Customer) -> dict[str, Any]:
    """A profile with how fresh it is."""
    partitions = await ask.service.lookup.partitions()
    standing = ask.service.watch.standing(home_partition(customer.customer_id, partitions))
    found = ask.view.profile(customer)
    found["freshness"] = standing
    return found


def etag_of(customer: Customer, ask: Ask) -> str:
    """Sequence, last record, scorecard, hour, and how the caller sees it."""
    row, view = customer.plain, ask.view
    return (
        f'W/"{row["sequence"]}-{row["source_topic"]}.{row["source_offset"]}-{customer.card.version}-'
        f'{row["as_of_us"] // _SAME_FOR_US}-{view.clear:d}{view.exact:d}"'
    )


def _matches(given: str, etag: str) -> bool:
    tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    return "*" in tags or etag.removeprefix("W/") in tags


@router.post(
    "/customers:batchGet",
    responses=described(Batch),
    response_model=None,
    summary="Up to 1,000 customers",
)
async def batch_get(ask: MayCustomers, asked: BatchAsk) -> Response:
    """As one customer, for many; costs one request of the rate for every hundred."""
    ask.spend(len(asked.ids) // _IDS_OF_ONE_TOKEN)
    at_us = day_of(ask, asked.at)
    names = {given: clear_id(ask, given) for given in asked.ids}
    valid = [name for name in names.values() if is_customer_id(name)]
    ask.note("batch", valid, **({} if asked.at is None else {"as_of": asked.at}))
    found = await ask.service.lookup.find_many(list(names.values()), ask.service.wall_us, at_us)
    profiles = []
    for number, name in enumerate(dict.fromkeys(names.values())):
        if name in found:
            profiles.append(await profile_of(ask, found[name]))
        if number % _IDS_AT_ONCE == 0:
            await asyncio.sleep(0)
    unknown = [given for given, name in names.items() if name not in found]
    return answer({"customers": profiles, "unknown": unknown})


@router.get(
    f"{ONE_CUSTOMER}/outlook",
    responses=described(Outlook, 404),
    response_model=None,
    summary="P(alive) by the day, and the changes to come",
)
async def outlook(
    ask: MayCustomers,
    customer_id: CustomerIdPath,
    days: Annotated[int, Query(ge=1, le=OUTLOOK_DAYS_MAX, description="Days ahead.")] = 90,
    past_days: Annotated[
        int,
        Query(
            ge=0,
            le=OUTLOOK_DAYS_MAX,
            description="Days back, to the last purchase at most; none where dates are by the quarter.",
        ),
    ] = 0,
    course_days: Annotated[
        int,
        Query(ge=0, le=COURSE_DAYS_MAX, description="How far back `course` goes."),
    ] = 0,
) -> Response:
    """If nothing is bought: P(alive) on each day, and when which change will come."""
    customer = await look_up(ask, customer_id, "outlook")
    view = ask.view
    curve = customer.outlook(days, past_days=past_days if view.exact else 0)
    thresholds = customer.card.scorecard.lifecycle
    found = customer.profile()
    return answer(
        {
            "customer_id": view.name(customer.customer_id),
            "as_of": found["as_of"],
            "segment": found["segment"],
            "thresholds": {"fading": thresholds.fading, "lost": thresholds.lost},
            "course": [{"at": at, "prob_alive": p} for at, p in customer.course(course_days)]
            if view.exact
            else None,
            "days": [{"at": at, "prob_alive": p} for at, p in curve],
            "next_changes": [view.foreseen(step) for step in customer.foreseen()],
            "purchase_days": _purchase_days(customer) if view.exact else None,
        }
    )


def _purchase_days(customer: Customer) -> list[dict[str, Any]]:
    return [
        {
            "day": (EPOCH + timedelta(days=entry.day)).date().isoformat(),
            "purchases": entry.purchases,
            "amount": (entry.purchase_units - entry.refund_units) / 10_000,
        }
        for entry in customer.purchase_days[-_PURCHASE_DAYS_MAX:]
    ]


@router.get(
    f"{ONE_CUSTOMER}/history",
    responses=described(History, 404),
    response_model=None,
    summary="The changes of one customer, with their causes",
)
async def history(ask: MayHistory, customer_id: CustomerIdPath) -> Response:
    """What this API remembers of the changes told of a customer; `complete` says whether it is all."""
    customer = await look_up(ask, customer_id, "history")
    changes = ask.service.changes.of(customer.customer_id)
    told = customer.plain["sequence"]
    return answer(
        {
            "customer_id": ask.view.name(customer.customer_id),
            "changes": [ask.view.change(change) for change in changes],
            "told": told,
            "complete": _is_complete(changes, told),
            "remembered": remembered(ask),
        }
    )


def _is_complete(changes: list[dict[str, Any]], told: int) -> bool:
    """Whether these are all changes of a customer, or all since they were erased."""
    if not changes:
        return told == 0
    first = changes[0]
    begun = first["sequence"] == 1 or first["cause"] == Cause.ERASURE
    return bool(begun and first["sequence"] + len(changes) - 1 == told)


def remembered(ask: Ask) -> dict[str, Any]:
    """How far back changes are known."""
    memory = ask.service.changes
    return {
        "changes": len(memory),
        "changes_max": memory.changes_max,
        "since": ask.view.day(memory.since),
        "caught_up": memory.caught_up and memory.following,
    }
