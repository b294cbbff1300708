"""The customer base: how large segments are, what they are worth, who moves, and who is in them."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from ops.api.census import Count, Group, names_from, page_of
from ops.api.cross_tables import FREQUENCY_FROM, SILENCE_FROM
from ops.api.documents import Found, Members, Segments
from ops.api.overview_documents import CustomerBase
from ops.api.policy import Right
from ops.api.problems import RETRY_SECONDS, ApiError
from ops.api.routes.customers import remembered
from ops.api.routes.shared import described
from ops.api.service import Ask, Needs, answer
from schemas.errors import shown
from schemas.transaction import ID_CHARS_MAX

PAGE_CUSTOMERS_MAX = 1_000
FOUND_CUSTOMERS_MAX = 50
_PSEUDONYM_BYTES = 32

router = APIRouter(tags=["segments"])
MaySegments = Annotated[Ask, Depends(Needs(Right.SEGMENTS))]
MayMembers = Annotated[Ask, Depends(Needs(Right.MEMBERS))]


async def _latest(ask: Ask) -> Count:
    count = await ask.service.census.latest()
    if count is None:
        raise ApiError(
            503,
            "not-counted-yet",
            "Customers are being counted for the first time, or cannot be; the operator's log says.",
            {"Retry-After": str(RETRY_SECONDS)},
        )
    return count


@router.get(
    "/segments",
    responses=described(Segments),
    response_model=None,
    summary="Segments: sizes, value, flows",
)
async def segments(ask: MaySegments) -> Response:
    """All customers as last counted (`counted_at`), and the changes between segments remembered."""
    count = await _latest(ask)
    groups = list(count.groups.values())
    revenue = sum(group.revenue for group in groups)
    return answer(
        {
            "counted_at": count.counted_at,
            "customers": count.customers,
            "unscored": count.unscored,
            "currency": ask.service.lookup.settings.currency,
            "scorecard": count.scorecard,
            "segments": [
                {
                    "name": group.name,
                    "customers": group.customers,
                    "share": group.customers / count.customers if count.customers else 0.0,
                    "revenue": round(group.revenue, 4),
                    "revenue_share": group.revenue / revenue if revenue else None,
                    "mean_prob_alive": group.alive / group.customers if group.customers else None,
                }
                for group in groups
            ],
            "flows": [
                {"previous": previous, "current": current, "changes": changes}
                for previous, current, changes in ask.service.changes.flows
            ],
            "remembered": remembered(ask),
        }
    )


@router.get(
    "/customer-base",
    responses=described(CustomerBase),
    response_model=None,
    summary="RFM table, and P(alive) by purchases and silence",
)
async def customer_base(ask: MaySegments) -> Response:
    """All customers as last counted, brought up to that moment; nobody by name."""
    count = await _latest(ask)
    return answer(
        {
            "counted_at": count.counted_at,
            "rfm": count.tables.rfm(),
            "frequency_bins": FREQUENCY_FROM,
            "silence_bins": SILENCE_FROM,
            "matrix": count.tables.matrix(),
        }
    )


@router.get(
    "/customers",
    responses=described(Found),
    response_model=None,
    summary="Customers whose ids begin so",
)
async def search(
    ask: MayMembers,
    prefix: Annotated[
        str, Query(description="Beginning of the id.", min_length=1, max_length=ID_CHARS_MAX)
    ],
    limit: Annotated[int, Query(ge=1, le=FOUND_CUSTOMERS_MAX)] = 8,
) -> Response:
    """As last counted: who came since is found by the whole id, at /customers/{id}."""
    if not ask.view.clear:
        raise ApiError(
            403,
            "by-pseudonym",
            f"Role {ask.key.role.value} sees pseudonyms, whose beginning says nothing: give a whole id.",
        )
    count = await _latest(ask)
    _must_list(count, ask)
    found, more = names_from(count.names, prefix, limit)
    ask.note("search", found)
    return answer({"customers": found, "more": more, "counted_at": count.counted_at})


@router.get(
    "/segments/{name:part}/customers",
    responses=described(Members, 404),
    response_model=None,
    summary="Who is in a segment",
)
async def members(
    ask: MayMembers,
    name: Annotated[str, Path(description="As /segments names it.", examples=["At-Risk"])],
    limit: Annotated[int, Query(ge=1, le=PAGE_CUSTOMERS_MAX)] = 100,
    cursor: Annotated[
        str | None, Query(description="`next_cursor` of the page before.", max_length=64)
    ] = None,
) -> Response:
    """A page of the segment as last counted, in an order that says nothing and never changes.

    Whoever is in the segment while all pages are read is met exactly once.
    """
    after = b"" if cursor is None else _unpack(cursor)
    count = await _latest(ask)
    group = _group(count, name, ask)
    ask.spend(limit // 100)
    rows, further = page_of(group, after, limit)
    ask.note("members", [customer_id for _, customer_id, _, _ in rows], segment=name)
    return answer(
        {
            "segment": name,
            "counted_at": count.counted_at,
            "customers": [
                {
                    "customer_id": ask.view.name(customer_id),
                    "prob_alive": prob_alive,
                    "revenue": round(revenue, 4),
                }
                for _, customer_id, prob_alive, revenue in rows
            ],
            "next_cursor": None if further is None else urlsafe_b64encode(further).decode(),
        }
    )


def _group(count: Count, name: str, ask: Ask) -> Group:
    if name not in count.groups:
        known = ", ".join(count.groups) or "none yet"
        raise ApiError(404, "unknown-segment", f"There is no segment {shown(name)}: {known}.")
    _must_list(count, ask)
    return count.groups[name]


def _must_list(count: Count, ask: Ask) -> None:
    if not count.listed:
        raise ApiError(
            503,
            "not-listed",
            f"There are more than {ask.service.census.customers_max:,} customers: segments are counted, "
            "not listed. EVERSCORE_API_CENSUS_CUSTOMERS_MAX raises the limit, at some 300 bytes each.",
        )


def _unpack(cursor: str) -> bytes:
    try:
        found = urlsafe_b64decode(cursor.encode("ascii"))
    except ValueError:
        found = b""
    if len(found) != _PSEUDONYM_BYTES:
        raise ApiError(
            422,
            "invalid-cursor",
            f"{shown(cursor)} is no cursor: take `next_cursor` as it was given.",
        )
    return found
