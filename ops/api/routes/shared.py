"""What routes share: how they are described, and how a day is given."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

import numpy as np
from fastapi import Path, Query
from pydantic import BaseModel, WithJsonSchema

from ops.api.problems import MEDIA_TYPE, ApiError
from ops.api.slashes import PART
from schemas.errors import shown
from schemas.transaction import ID_CHARS_MAX
from scoring.business_calendar import BusinessCalendar

_FIRST_YEAR, _LAST_YEAR = 1900, 2999
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_EPOCH_DAY = datetime(1970, 1, 1).toordinal()  # noqa: DTZ001 - a calendar day has no zone

_MEANING = {
    304: "Nothing has happened since the answer that bears this ETag.",
    401: "No key, or one that opens nothing.",
    403: "The key's role may not ask for this.",
    404: "Nothing is known by that name.",
    405: "Another method is asked for.",
    410: "What would come next is no longer remembered.",
    413: "The body is too large.",
    421: "The server asks for no key, and its name in the request is not this machine's own.",
    422: "Something in the request is not as described.",
    429: "Too many requests; come back after Retry-After seconds.",
    500: "A fault of ours.",
    503: "A server behind this one does not answer, or nothing has been counted yet.",
}
_ALWAYS = (401, 403, 413, 421, 422, 429, 500, 503)

Moment = WithJsonSchema(
    {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}
)
At = Annotated[
    str | None,
    Query(
        description="As of another moment: a day (2026-11-21; all of its purchases count) or a moment "
        "with an offset (2026-11-21T09:30:00Z). Past days are computed from the purchases known now, by "
        "the scorecard now in use.",
        examples=["1998-06-30"],
    ),
    Moment,
]
ONE_CUSTOMER = f"/customers/{{customer_id:{PART}}}"
CustomerIdPath = Annotated[
    str,
    Path(
        description="Customer id, or its pseudonym; percent-encoded, a slash as %2F.",
        examples=["C-42"],
        min_length=1,
    ),
]
Ids = Annotated[str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": ID_CHARS_MAX})]


def described(model: type[BaseModel] | None, *more: int, **extra: Any) -> dict[int | str, Any]:
    """The `responses` of a route: its model, and every problem it may answer with."""
    found: dict[int | str, Any] = {
        code: {
            "description": _MEANING[code],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for code in (*_ALWAYS, *more)
        if code != 304
    }
    if 304 in more:
        found[304] = {"description": _MEANING[304]}
    if model is not None:
        found[200] = {"model": model, "description": (model.__doc__ or "").splitlines()[0]}
    return found | extra


def moment_us(text: str | None, calendar: BusinessCalendar) -> int | None:
    """Microseconds since 1970 UTC of an `at`; a day is its beginning in the business time zone.

    Raises
    ------
    ApiError
        It is neither a day nor a moment.
    """
    if text is None:
        return None
    try:
        given = datetime.fromisoformat(text)
        if _FIRST_YEAR <= given.year <= _LAST_YEAR:
            if _DAY.fullmatch(text):
                day = np.array([float(given.toordinal() - _EPOCH_DAY)])
                return int(calendar.instant_of(day)[0])
            if given.tzinfo is not None:
                return round(given.timestamp() * 1e6)
    except (ValueError, OverflowError):
        pass
    raise ApiError(
        422,
        "invalid-moment",
        f"at={shown(text)} is neither a day such as 2026-11-21 nor a moment with an offset such as "
        f"2026-11-21T09:30:00Z, between the years {_FIRST_YEAR} and {_LAST_YEAR}.",
    )
