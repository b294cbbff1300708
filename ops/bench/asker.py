"""Questions at a steady rate, from a process of its own: customers of the API, and HGETALL of the same.

`python -m ops.bench.asker '<Asking as JSON>'`. Open loop: each question is due at its time whether or not
the ones before it were answered, and its time runs from when it was due. One that found no connection free
waits, and the waiting counts: a server that stalls is charged for everybody who would have asked meanwhile.

Plain sockets and `select`, whose timeout is exact to microseconds: an event loop wakes by the millisecond,
and a client library costs as much as the answer.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import hiredis
import msgspec
import numpy as np
from numpy.typing import NDArray

_RECEIVE_BYTES = 256 * 1024
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
_UNANSWERED = -1
_PATIENCE_SECONDS = 30.0  # after the last question was due
_CONNECT_SECONDS_MAX = 30.0
_NS = 1e9


class Asking(msgspec.Struct, frozen=True):
    """What to ask.

    Attributes
    ----------
    port, redis_port : int
        On 127.0.0.1.
    key : str
        Of the API.
    redis_prefix : str
        Before the customer id in Redis.
    customers : str
        File of the ids, MessagePack.
    rate : float
        A second, of each kind.
    seconds : float
    connections : int
        To the API.
    seed : int
    times : str
        File for the times, see `Answered`.
    """

    port: int
    redis_port: int
    key: str
    redis_prefix: str
    customers: str
    rate: float
    seconds: float
    connections: int
    seed: int
    times: str


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


def ask_all(lines: list[tuple[Line, Record]], patience_seconds: float = _PATIENCE_SECONDS) -> None:
    """Ask every question when it is due, and take the answers.

    Parameters
    ----------
    lines : list of (Line, Record)
        With the times at which their questions are due.
    patience_seconds : float
        After the last of them.
    """
    coming = sorted(
        (at, number, question)
        for number, (_, record) in enumerate(lines)
        for question, at in enumerate(record.due)
    )
    deadline = (coming[-1][0] if coming else 0) + round(patience_seconds * _NS)
    position = 0
    while any(record.open for _, record in lines) and time.monotonic_ns() < deadline:
        now = time.monotonic_ns()
        while position < len(coming) and coming[position][0] <= now:
            _, number, question = coming[position]
            lines[number][0].ask(question)
            position += 1
        until = coming[position][0] if position < len(coming) else deadline
        wait = max(until - time.monotonic_ns(), 0) / _NS
        watched = [one for line, _ in lines for one in line.sockets()]
        for ready in select.select(watched, (), (), wait)[0]:
            next(line for line, _ in lines if ready in line.sockets()).read(ready)


def due_times(begins: int, rate: float, seconds: float) -> tuple[Any, Any]:
    """When questions of each kind are due: in turns, evenly."""
    gap = _NS / rate
    due = begins + np.arange(int(rate * seconds)) * gap
    return due.astype(np.int64), (due + gap / 2).astype(np.int64)


def main() -> None:
    """Say when ready, wait for the word to begin, ask."""
    asking = msgspec.json.decode(sys.argv[1], type=Asking)
    customers = msgspec.msgpack.decode(Path(asking.customers).read_bytes(), type=list[str])
    api_due, redis_due = due_times(0, asking.rate, asking.seconds)
    chosen = np.random.default_rng(asking.seed).integers(0, len(customers), len(api_due)).tolist()
    requests = [_request(customers[one], asking.key) for one in chosen]
    commands = [_hgetall(asking.redis_prefix + customers[one]) for one in chosen]
    api, plain = Record(api_due), Record(redis_due)
    lines: list[tuple[Line, Record]] = [
        (HttpLine(asking.port, asking.connections, requests, api), api),
        (RedisLine(asking.redis_port, commands, plain), plain),
    ]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    begins = time.monotonic_ns()
    for _, record in lines:
        record.due = [begins + at for at in record.due]
    ask_all(lines)
    for line, _ in lines:
        line.close()
    Path(asking.times).write_bytes(msgspec.msgpack.encode([api.answered(), plain.answered()]))


def _request(customer_id: str, key: str) -> bytes:
    return (
        f"GET /customers/{customer_id} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n"
    ).encode()


def _hgetall(key: str) -> bytes:
    encoded = key.encode()
    return b"*2\r\n$7\r\nHGETALL\r\n$%d\r\n%b\r\n" % (len(encoded), encoded)


if __name__ == "__main__":
    main()
