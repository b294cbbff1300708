"""What the API's benchmark makes of its questions: open loop, nothing left out, one report."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from ops.bench.api_load import ApiError, ApiRun, Load, Times, answer_times
from ops.bench.api_report import judge_api, render_api
from ops.bench.api_suite import ApiPlan, ApiResults, run_api_suite
from ops.bench.asker import ask_all, due_times
from ops.bench.asker_lines import Answered, HttpLine, Line, Record, RedisLine
from ops.bench.feed_listener import changes_in
from ops.bench.job import Job, make_job
from ops.stack.at_hand import StackKind
from ops.stack.settings import StackSettings
from schemas.errors import ConfigurationError

MS = 1_000_000
REQUEST = b"GET / HTTP/1.1\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"


@contextmanager
def server(answer) -> Iterator[int]:
    """Answers what comes on every connection by a function of it; its port."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve(line: socket.socket) -> None:
            with line:
                while part := line.recv(65_536):
                    answer(line, part)

        def accept() -> None:
            while True:
                try:
                    line, _ = door.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(line,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield door.getsockname()[1]
        door.shutdown(socket.SHUT_RDWR)


def soon(count: int, gap_ms: float = 1.0) -> Record:
    begins = time.monotonic_ns() + 5 * MS
    return Record((begins + np.arange(count) * gap_ms * MS).astype(np.int64))


def ask(line: Line, record: Record, **more: float) -> None:
    ask_all([(line, record)], **more)
    line.close()


def test_questions_come_evenly_and_the_two_kinds_in_turns() -> None:
    ours, plain = due_times(1_000, 500.0, 2.0)
    assert len(ours) == len(plain) == 1_000
    assert set(np.diff(ours)) == set(np.diff(plain)) == {2 * MS}
    assert set(plain - ours) == {MS}


def test_server_that_stalls_is_charged_for_all_who_would_have_asked_meanwhile() -> None:
    """Who asks only after an answer, would see one slow answer of a hundred."""
    stalled = threading.Event()

    def stall_once(line: socket.socket, _part: bytes) -> None:
        if not stalled.is_set():
            stalled.set()
            time.sleep(0.3)
        line.sendall(ANSWER)

    with server(stall_once) as port:
        record = soon(100, gap_ms=2.0)
        ask(HttpLine(port, 1, [REQUEST] * 100, record), record)
    times = (np.array(record.done) - np.array(record.due)) / MS
    assert record.status == [200] * 100
    assert times[0] >= 300
    assert (
        times[50] >= 150
    )  # due 100 ms after the first, and could be sent only when that was answered
    waited = (np.array(record.sent) - np.array(record.due)) / MS
    assert waited[50] >= 150


def test_answer_in_pieces_is_over_with_its_last_byte() -> None:
    def drip(line: socket.socket, _part: bytes) -> None:
        for byte in ANSWER:
            line.sendall(bytes((byte,)))
        time.sleep(0)

    with server(drip) as port:
        record = soon(5)
        ask(HttpLine(port, 2, [REQUEST] * 5, record), record)
    assert record.status == [200] * 5
    assert record.open == 0


def test_status_is_kept_and_what_is_not_answered_stays_open() -> None:
    def now_and_then(line: socket.socket, part: bytes) -> None:
        if part == REQUEST:
            line.sendall(ANSWER.replace(b"200 OK", b"429 No"))

    with server(now_and_then) as port:
        record = soon(2)
        ask(HttpLine(port, 2, [REQUEST, b"hm"], record), record, patience_seconds=0.2)
    assert record.status == [429, 0]
    assert record.done[0] > 0
    assert record.done[1] == -1


def test_connection_that_rested_too_long_is_opened_anew() -> None:
    closed = threading.Event()

    def serve(line: socket.socket, _part: bytes) -> None:
        line.sendall(ANSWER)
        if not closed.is_set():
            closed.set()
            line.shutdown(socket.SHUT_RDWR)

    with server(serve) as port:
        record = soon(3, gap_ms=100.0)
        ask(HttpLine(port, 1, [REQUEST] * 3, record), record)
    assert record.status == [200] * 3


def test_redis_is_asked_without_waiting_and_answers_are_told_apart_by_their_order() -> None:
    replies = iter([b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"*0\r\n", b"-ERR no\r\n"])

    def serve(line: socket.socket, part: bytes) -> None:
        for _ in range(part.count(b"HGETALL")):
            line.sendall(next(replies))

    with server(serve) as port:
        record = soon(3)
        commands = [b"*2\r\n$7\r\nHGETALL\r\n$1\r\nx\r\n"] * 3
        ask(RedisLine(port, commands, record), record)
    assert record.status == [200, 500, 500]


def test_event_is_here_when_its_last_byte_is() -> None:
    def chunk(text: str) -> bytes:
        return b"%x\r\n%b\r\n" % (len(text.encode()), text.encode())

    def event(number: int) -> str:
        return f"id: {number}\nevent: segment\ndata: {json.dumps({'n': number})}\n\n"

    raw = chunk("retry: 2000\nid: x\n\n") + chunk(event(1) + event(2)) + chunk(": nothing\n\n")
    raw += chunk(event(3))
    for size in (1, 7, 64, len(raw)):
        pieces = [(at, raw[at : at + size]) for at in range(0, len(raw), size)]
        found = list(changes_in([*pieces, (10**9, b"40\r\nnot all of it")]))
        assert [json.loads(body)["n"] for _, body in found] == [1, 2, 3]
        for (at, body), last in zip(found, (event(1), event(2), event(3)), strict=True):
            end = raw.index(last.strip().encode()) + len(last.strip())
            assert at <= end - 1 < at + size, body


def answered(status: int = 200, done: int = 9) -> Answered:
    return Answered(due=[0, MS], sent=[1, MS + 1], done=[5, done], status=[200, status])


def test_run_with_a_question_that_was_not_answered_well_is_not_quoted() -> None:
    assert answer_times(answered(done=3 * MS), 1).p50 == 2.0
    with pytest.raises(ApiError, match="1 of 2"):
        answer_times(answered(done=-1), 0)
    with pytest.raises(ApiError, match="503"):
        answer_times(answered(status=503), 0)


@lru_cache
def job() -> Job:
    return make_job(1, 60_000)


def results_of(*runs: ApiRun | None, **plan) -> ApiResults:
    made = ApiPlan(StackKind.EMBEDDED, job(), StackSettings(), runs=len(runs), **plan)
    return ApiResults(made, runs={1: list(runs)}, busy=[0.0], loads=[0.0], checked=len(runs))


def run_with(p99: float, feed: float | None) -> ApiRun:
    times = Times(10_000, 1.0, p99, 20.0, 30.0)
    heard = None if feed is None else replace(times, p99=feed)
    return ApiRun(Load(500, 1), 7, times, times, times, heard, heard, 400.0, 200.0)


def test_targets_are_judged_by_the_median_of_the_rounds() -> None:
    slow, fast = run_with(11.0, 300.0), run_with(9.0, 100.0)
    assert [target.met for target in judge_api(results_of(slow, fast, fast))] == [True, True]
    assert [target.met for target in judge_api(results_of(slow, slow, fast))] == [False, False]
    assert [target.met for target in judge_api(results_of(run_with(9.0, None)))] == [True, None]
    assert [target.met for target in judge_api(results_of(None))] == [None, None]


def test_report_says_what_was_measured_and_what_failed() -> None:
    results = results_of(run_with(9.0, 100.0), None)
    results.failures.append("1 processes, round 2: of all things\nmore")
    text = render_api(results, "make bench ARGS=--api")
    assert "make bench ARGS=--api" in text
    assert "| `GET /customers/{id}` | 1.00 | 9.00 | 20.00 | 30.00 |" in text
    assert "* 1 processes, round 2: of all things\n" in text
    assert "another load" not in text
    assert "another load" in render_api(results_of(None, requests=50.0), "x")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"runs": 0}, "measure nothing"),
        ({"requests": 0.0}, "0 customers a second"),
        ({"requests": 1_000.0}, "1000 customers a second"),
        ({"processes": ()}, "at least one"),
        ({"processes": (1, 0)}, "at least one"),
        ({"seconds": 60.0}, "leave"),
    ],
)
def test_plan_that_cannot_be_carried_out_is_refused(change, said: str) -> None:
    plan = replace(results_of(None).plan, **change)
    with pytest.raises(ConfigurationError, match=said):
        run_api_suite(plan, lambda _: None)
