"""What the asker's questions go through, connections to the API and to Redis, and the times of each."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Iterable
from typing import Protocol

import hiredis
import msgspec
import numpy as np
from numpy.typing import NDArray

_RECEIVE_BYTES = 256 * 1024
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
_UNANSWERED = -1
_CONNECT_SECONDS_MAX = 30.0


class Answered(msgspec.Struct, frozen=True):
    """What became of n questions of each kind; nanoseconds of the monotonic clock.

    Attributes
    ----------
    due, sent, done : list of int
        `done` is −1 of what was not answered.
    status : list of int
        HTTP's; of Redis 200 for a hash that is not empty.
    """

    due: list[int]
    sent: list[int]
    done: list[int]
    status: list[int]


class Line(Protocol):
    """What questions go through."""

    def ask(self, question: int) -> None:
        """Send a question, or keep it until that is possible."""

    def sockets(self) -> Iterable[socket.socket]:
        """On which answers come; may change."""

    def read(self, from_: socket.socket) -> None:
        """Take what has come."""

    def close(self) -> None:
        """Hang up."""


class Record:
    """Times of the questions of one kind."""

    def __init__(self, due: NDArray[np.int64]) -> None:
        self.due: list[int] = due.tolist()
        self.sent = [0] * len(due)
        self.done = [_UNANSWERED] * len(due)
        self.status = [0] * len(due)
        self.open = len(due)

    def finish(self, question: int, status: int) -> None:
        """An answer is here as a whole."""
        self.done[question] = time.monotonic_ns()
        self.status[question] = status
        self.open -= 1

    def answered(self) -> Answered:
        """As it is written down."""
        return Answered(self.due, self.sent, self.done, self.status)


class _Connection:
    """One to the API, with at most one question under way."""

    def __init__(self, made: socket.socket) -> None:
        self.socket = made
        self.question = 0
        self.seen = bytearray()


class HttpLine:
    """Keep-alive connections to the API.

    Parameters
    ----------
    requests : list of bytes
        One for each question.
    """

    def __init__(self, port: int, connections: int, requests: list[bytes], record: Record) -> None:
        self._requests = requests
        self._record = record
        self._waiting: deque[int] = deque()
        self._port = port
        self._all: dict[socket.socket, _Connection] = {}
        self._free = deque(self._open() for _ in range(connections))

    def _open(self) -> _Connection:
        made = socket.create_connection(("127.0.0.1", self._port), _CONNECT_SECONDS_MAX)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._all[made] = _Connection(made)
        return self._all[made]

    def ask(self, question: int) -> None:
        """See `Line`."""
        if self._free:
            self._send(self._free.popleft(), question)
        else:
            self._waiting.append(question)

    def _send(self, connection: _Connection, question: int) -> None:
        connection.question = question
        self._record.sent[question] = time.monotonic_ns()
        connection.socket.sendall(self._requests[question])

    def sockets(self) -> Iterable[socket.socket]:
        """See `Line`."""
        return self._all

    def read(self, from_: socket.socket) -> None:
        """See `Line`."""
        connection = self._all[from_]
        part = from_.recv(_RECEIVE_BYTES)
        if not part:
            self._closed(connection)
            return
        connection.seen += part
        head, found, body = bytes(connection.seen).partition(_HEAD_END)
        if not found or len(body) < _length(head):
            return
        connection.seen.clear()
        self._record.finish(connection.question, int(head[9:12]))
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._free.append(connection)

    def close(self) -> None:
        """See `Line`."""
        for one in self._all:
            one.close()

    def _closed(self, connection: _Connection) -> None:
        """One that rested for long is opened anew, as any client would do."""
        if connection not in self._free:
            raise SystemExit("the API closed a connection instead of answering")
        self._free.remove(connection)
        del self._all[connection.socket]
        connection.socket.close()
        self._free.append(self._open())


def _length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.index(_LENGTH) + len(_LENGTH)
    return int(lowered[start:].split(b"\r\n", 1)[0])


class RedisLine:
    """One connection to Redis; questions follow one another without waiting.

    Parameters
    ----------
    commands : list of bytes
        One for each question.
    """

    def __init__(self, port: int, commands: list[bytes], record: Record) -> None:
        self._commands = commands
        self._record = record
        self._under_way: deque[int] = deque()
        self._reader = hiredis.Reader()
        self._socket = socket.create_connection(("127.0.0.1", port), _CONNECT_SECONDS_MAX)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, question: int) -> None:
        """See `Line`."""
        self._record.sent[question] = time.monotonic_ns()
        self._under_way.append(question)
        self._socket.sendall(self._commands[question])

    def sockets(self) -> Iterable[socket.socket]:
        """See `Line`."""
        return (self._socket,)

    def read(self, from_: socket.socket) -> None:
        """See `Line`."""
        part = from_.recv(_RECEIVE_BYTES)
        if not part:
            raise SystemExit("Redis closed its connection")
        self._reader.feed(part)
        while (reply := self._reader.gets()) is not False:
            whole = isinstance(reply, list) and bool(reply)
            self._record.finish(self._under_way.popleft(), 200 if whole else 500)

    def close(self) -> None:
        """See `Line`."""
        self._socket.close()
