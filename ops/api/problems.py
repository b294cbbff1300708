"""Errors as RFC 9457 problem details: one shape for everything that is not an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from schemas.errors import (
    InvalidTransactionError,
    PipelineError,
    UnknownCustomerError,
)

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:everscore:problem:"
RETRY_SECONDS = 5


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    model_config = ConfigDict(title="Problem", extra="forbid")

    type: str = Field(description="Which kind; stays the same over releases.")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What was found, and what to do.")
    instance: str = Field(description="This one request, as the log and the audit log name it.")


class ApiError(PipelineError):
    """A request that gets no answer.

    Parameters
    ----------
    status : int
    kind : str
        Of the problem, in words joined by hyphens.
    detail : str
    headers : mapping of str to str, optional
    """

    def __init__(
        self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.headers = dict(headers or {})


def as_api_error(error: PipelineError) -> ApiError:
    """How an error of the rooms below is told over HTTP."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, UnknownCustomerError):
        return ApiError(404, "unknown-customer", str(error))
    if isinstance(error, InvalidTransactionError):
        return ApiError(422, "invalid-customer-id", str(error))
    # Whatever else: the servers behind us are away, refuse us, or hold what we cannot read. The reason
    # names servers and users: it is for the log, not for the caller.
    return ApiError(
        503,
        "unavailable",
        "The store does not answer as it should; the operator's log says why. Try again later.",
        {"Retry-After": str(RETRY_SECONDS)},
    )


def problem_response(error: ApiError, request_id: str) -> Response:
    """The answer that tells of an error."""
    body: dict[str, Any] = {
        "type": f"{_TYPE}{error.kind}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": str(error),
        "instance": f"urn:everscore:request:{request_id}",
    }
    return Response(
        json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"),
        status_code=error.status,
        headers=error.headers,
        media_type=MEDIA_TYPE,
    )
