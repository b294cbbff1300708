"""Listens to the API's stream of changes and notes when each arrives, from a process of its own.

`python -m ops.bench.feed_listener '<Feeding as JSON>'` listens until its standard input ends. It is what a
console is: one request whose answer never ends. Nothing is parsed meanwhile.
"""

from __future__ import annotations

import re
import select
import socket
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from ops.bench.listener import caused_by_purchases

_RECEIVE_BYTES = 1024 * 1024
_BEGIN_SECONDS_MAX = 30.0
_AGAIN_SECONDS = 0.1
_HEAD_END = b"\r\n\r\n"
_DATA = re.compile(rb"^data: (.*)$", re.MULTILINE)


class Feeding(msgspec.Struct, frozen=True):
    """Where to listen, and the file for arrivals; as in `ops.bench.listener`."""

    port: int
    key: str
    arrivals: str


def listen(feeding: Feeding) -> list[tuple[int, bytes]]:
    """Pieces of the answer as they come, until the standard input ends."""
    line, rest = _begin(feeding)
    with line:
        pieces = [(time.monotonic_ns(), rest)]
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            ready, _, _ = select.select((line, sys.stdin), (), ())
            if line not in ready:
                return pieces
            part = line.recv(_RECEIVE_BYTES)
            if not part:
                raise SystemExit("the API ended the stream")
            pieces.append((time.monotonic_ns(), part))


def _begin(feeding: Feeding) -> tuple[socket.socket, bytes]:
    """The stream after its head. A process of the API that has just begun refuses for a moment."""
    deadline = time.monotonic() + _BEGIN_SECONDS_MAX
    while True:
        line = socket.create_connection(("127.0.0.1", feeding.port), _BEGIN_SECONDS_MAX)
        line.sendall(
            b"GET /changes HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Authorization: Bearer %b\r\n\r\n" % feeding.key.encode()
        )
        head = b""
        while _HEAD_END not in head:
            part = line.recv(_RECEIVE_BYTES)
            if not part:
                raise SystemExit("the API closed the stream")
            head += part
        head, _, rest = head.partition(_HEAD_END)
        if head.startswith(b"HTTP/1.1 200"):
            return line, rest
        line.close()
        if not head.startswith(b"HTTP/1.1 503") or time.monotonic() > deadline:
            raise SystemExit(f"the API does not tell changes: {head.splitlines()[0].decode()}")
        time.sleep(_AGAIN_SECONDS)


def changes_in(pieces: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    r"""(when it was here as a whole, body) of every change.

    >>> body = b'id: 1\nevent: segment\ndata: {"a":1}\n\n'
    >>> chunk = b"%x\r\n%b\r\n" % (len(body), body)
    >>> list(changes_in([(5, chunk[:20]), (9, chunk[20:] + chunk)]))
    [(9, b'{"a":1}'), (9, b'{"a":1}')]
    """
    raw = b"".join(part for _, part in pieces)
    ends = np.cumsum([len(part) for _, part in pieces]).tolist()
    position = 0
    # The API sends whole events only, one chunk or more of HTTP each.
    while (line_end := raw.find(b"\r\n", position)) >= 0:
        size = int(raw[position:line_end], 16)
        start = line_end + 2
        if not size or start + size > len(raw):
            return
        for found in _DATA.finditer(raw[start : start + size]):
            at, _ = pieces[bisect_left(ends, start + found.end())]
            yield at, found[1]
        position = start + size + 2


def main() -> None:
    """Listen until the standard input ends."""
    feeding = msgspec.json.decode(sys.argv[1], type=Feeding)
    arrivals = caused_by_purchases(list(changes_in(listen(feeding))))
    np.save(Path(feeding.arrivals), arrivals)


if __name__ == "__main__":
    main()
