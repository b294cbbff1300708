"""Questions at a steady rate, from a process of its own: customers of the API, and HGETALL of the same.

`python -m ops.bench.asker '<Asking as JSON>'`. Open loop: each question is due at its time whether or not
the ones before it were answered, and its time runs from when it was due. One that found no connection free
waits, and the waiting counts: a server that stalls is charged for everybody who would have asked meanwhile.

Plain sockets and `select`, whose timeout is exact to microseconds: an event loop wakes by the millisecond,
and a client library costs as much as the answer.
"""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ops.bench.asker_lines import HttpLine, Line, Record, RedisLine

_PATIENCE_SECONDS = 30.0  # after the last question was due
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
        File for the times, two of `Answered`.
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
