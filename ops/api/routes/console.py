"""The support console's files: the page at `/`, and what it is made of.

They are for everybody, as a sign-in page is: what they show comes by routes that need a key.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from ops.console import POLICY, served_files

_FILES = served_files()
PATHS = frozenset(_FILES)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",  # asked again each time, and answered by 304
}

router = APIRouter(include_in_schema=False)


async def _file(request: Request) -> Response:
    served = _FILES[request.url.path]
    headers = _HEADERS | {"ETag": served.etag}
    if served.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(served.body, headers=headers, media_type=served.media_type)


for _path in sorted(PATHS):
    router.add_api_route(_path, _file, methods=["GET"], response_model=None)
