"""Customer ids with a slash in a path: %2F is a letter of the id, not its end.

Servers hand a path on percent-decoded, and the two look the same in it. So where the path as it came
holds a %2F, it is decoded anew, part by part, and the slashes of the parts are put differently until
the route is found. What stands for them, half of a surrogate pair, no decoded path can hold.
"""

from __future__ import annotations

from urllib.parse import unquote

from starlette.convertors import Convertor, register_url_convertor
from starlette.types import Scope

_WITHIN = "\udc2f"
PART = "part"
"""How a route declares that a parameter is one part of the path: `{name:part}`."""


def told_apart(scope: Scope) -> Scope:
    r"""A request whose path tells slashes of ids from those between its parts.

    >>> told_apart({"path": "/customers/a/b", "raw_path": b"/customers/a%2Fb"})["path"]
    '/customers/a\udc2fb'
    >>> told_apart({"path": "/customers/a/b", "raw_path": b"/customers/a/b"})["path"]
    '/customers/a/b'
    """
    raw: bytes = scope.get("raw_path") or b""
    if b"%2f" not in raw.lower():
        return scope
    parts = raw.partition(b"?")[0].decode("latin-1").split("/")
    path = "/".join(unquote(part).replace("/", _WITHIN) for part in parts)
    return {**scope, "path": path}


def as_typed(path: str) -> str:
    r"""A path for a message.

    >>> as_typed("/customers/a\udc2fb")
    '/customers/a%2Fb'
    """
    return path.replace(_WITHIN, "%2F")


def as_meant(part: str) -> str:
    r"""What one part of a path says.

    >>> as_meant("a\udc2fb")
    'a/b'
    """
    return part.replace(_WITHIN, "/")


class _Part(Convertor[str]):
    """One part of a path."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return as_meant(value)

    def to_string(self, value: str) -> str:
        return value.replace("/", _WITHIN)


register_url_convertor(PART, _Part())
