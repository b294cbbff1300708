"""The live feed: every change as a server-sent event, to be resumed where it broke off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from ops.api.changes_memory import (
    ChangesMemory,
    ForgottenError,
    PositionError,
    Told,
    pack_position,
    unpack_position,
)
from ops.api.policy import Right
from ops.api.problems import RETRY_SECONDS, ApiError
from ops.api.routes.shared import described
from ops.api.service import Ask, Needs
from schemas.change import Cause

STREAMS_MAX = 200
LAST_MAX = 1_000
_BEAT_SECONDS = 15.0  # proxies close what is silent for a minute
_RECONNECT_MS = 2_000
_BEHIND_SECONDS_MAX = 1.0  # reading takes 50 ms; whoever is further ahead saw another log
_AT_ONCE = 200  # events in one piece, so that a long backlog lets others come in between
_MEDIA_TYPE = "text/event-stream"

router = APIRouter(tags=["changes"])
MayChanges = Annotated[Ask, Depends(Needs(Right.CHANGES))]
_encode = msgspec.json.Encoder().encode


@router.get(
    "/changes",
    responses=described(None, 410)
    | {
        200: {
            "description": "Server-sent events: `event` is segment or lifecycle, `data` a Change, `id` the "
            "position behind it.",
            "content": {_MEDIA_TYPE: {"schema": {"type": "string"}}},
        }
    },
    response_model=None,
    summary="Changes as they come",
)
async def changes(
    request: Request,
    ask: MayChanges,
    begin: Annotated[
        Literal["now", "oldest"],
        Query(
            alias="from", description="Where to begin: what is to come, or all that is remembered."
        ),
    ] = "now",
    last: Annotated[
        int,
        Query(
            ge=0,
            le=LAST_MAX,
            description="Begin so many changes before what is to come; those filtered out count.",
        ),
    ] = 0,
    segment: Annotated[str | None, Query(description="Only changes into this segment.")] = None,
    cause: Annotated[Cause | None, Query(description="Only changes with this cause.")] = None,
    kind: Annotated[Literal["segment", "lifecycle"] | None, Query()] = None,
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            description="`id` of the last event seen: goes on behind it, or answers 410 where what came "
            "next is no longer remembered.",
        ),
    ] = None,
) -> Response:
    """Each change once, those of one customer in order; a comment every 15 seconds keeps it open."""
    memory, service = ask.service.changes, ask.service
    from_now = last_event_id is None and begin == "now"
    if not memory.beginnings or (from_now and not memory.caught_up):
        raise ApiError(
            503,
            "not-read-yet",
            "Kafka has not answered yet, or what it holds is still being read: what is new is not known.",
            {"Retry-After": str(RETRY_SECONDS)},
        )
    position, beginnings = await _start(memory, begin, last, last_event_id), memory.beginnings
    if service.streams >= STREAMS_MAX:
        raise ApiError(
            503,
            "too-many-streams",
            f"There are {STREAMS_MAX} streams already.",
            {"Retry-After": str(RETRY_SECONDS)},
        )
    ask.note("changes", [], resumed=last_event_id is not None, begin=begin)

    def wanted(told: Told) -> bool:
        if kind is not None and told.kind != kind:
            return False
        if segment is None and cause is None:
            return True
        change = told.change()
        return (segment is None or (told.kind == "segment" and change["current"] == segment)) and (
            cause is None or change["cause"] == cause
        )

    async def events() -> AsyncIterator[bytes]:
        service.streams += 1
        service.metrics.streams.set(service.streams)
        try:
            yield f"retry: {_RECONNECT_MS}\nid: {pack_position(position)}\n\n".encode()
            number = memory.number_at(position)
            while (
                service.still_welcome(ask.key)
                and memory.beginnings == beginnings  # else it comes again, and is told
                and not await request.is_disconnected()
            ):
                if not await memory.wait(number, _BEAT_SECONDS):
                    # An id without data moves where the client goes on from, and shows nothing.
                    yield f": nothing new\nid: {pack_position(position)}\n\n".encode()
                    continue
                if number < memory.first and _has_lost(memory, position):
                    return  # too slow: it comes again with its last id, and is told
                parts, until = [], min(memory.next, number + _AT_ONCE)
                for told in map(memory.get, range(number, until)):
                    if told is None or told.offset < position[told.partition]:
                        continue
                    position[told.partition] = told.offset + 1
                    if wanted(told):
                        parts.append(_event(ask, told, position))
                number = until
                if parts:
                    yield b"".join(parts)
        finally:
            service.streams -= 1
            service.metrics.streams.set(service.streams)

    return StreamingResponse(events(), media_type=_MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})


async def _start(
    memory: ChangesMemory, begin: str, last: int, last_event_id: str | None
) -> dict[int, int]:
    if last_event_id is None:
        return memory.oldest_position if begin == "oldest" else memory.position_before(last)
    try:
        position = unpack_position(last_event_id)
        await memory.reach(position, _BEHIND_SECONDS_MAX)
        memory.number_at(position)
    except PositionError as error:
        raise ApiError(422, "invalid-event-id", str(error)) from None
    except ForgottenError as error:
        raise ApiError(
            410,
            "no-longer-remembered",
            f"{error} Begin anew without Last-Event-ID (`?from=oldest` for all that is remembered), or "
            "read the topic of changes, which is the truth.",
        ) from None
    return position


def _has_lost(memory: ChangesMemory, position: dict[int, int]) -> bool:
    return any(position[p] < begin for p, begin in memory.oldest_position.items())


def _event(ask: Ask, told: Told, position: dict[int, int]) -> bytes:
    as_it_is = ask.view.clear and ask.view.exact
    data = told.raw() if as_it_is else _encode(ask.view.change(told.change()))
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (
        pack_position(position).encode(),
        told.kind.encode(),
        data,
    )
