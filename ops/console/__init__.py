"""The support console: the page that the API serves at `/`, as files of our own.

Owns what a browser is given: names, types, and the rules under which it may run. No file is built,
and none names another host; why no framework: ops/decisions/0018-the-console-is-plain-files.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

PAGE = "index.html"
FOLDER = "/console/"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# No script, style, font or answer but from here, none written into the page, nobody who frames it; and
# trusted types, so that no text of a customer can become markup: the page has no way to say that.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)


@dataclass(frozen=True, slots=True)
class Served:
    """One file as a browser is given it.

    Attributes
    ----------
    etag : str
        Of its bytes: after an upgrade nobody is left with half of the old page.
    """

    body: bytes
    media_type: str
    etag: str


def served_files() -> dict[str, Served]:
    """Every file of the console by the path under which it is served; the page itself is `/`."""
    found = {}
    for entry in (files("ops.console") / "static").iterdir():
        suffix = "." + entry.name.rpartition(".")[2]
        if suffix not in _TYPES:
            continue
        body = entry.read_bytes()
        path = "/" if entry.name == PAGE else FOLDER + entry.name
        found[path] = Served(body, _TYPES[suffix], f'"{sha256(body).hexdigest()[:32]}"')
    return found
