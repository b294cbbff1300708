"""The API under load: answers a second and their times while purchases are scored, beside HGETALL.

Owns one run: an installation whose worker counts at a steady rate, `everscore serve` beside it, customers
asked for at a steady rate, and one who listens to the stream of changes.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import numpy as np
from numpy.typing import NDArray

from ops.api.keys import KeyFile, utc_now
from ops.api.policy import Role
from ops.bench.asker import Asking
from ops.bench.asker_lines import Answered
from ops.bench.contenders import REPOSITORY
from ops.bench.feed_listener import Feeding
from ops.bench.flow import helper, send_steadily, tell, wait_for_end
from ops.bench.installation import Installation
from ops.bench.job import Job
from ops.bench.latency import Course, latencies_ms
from ops.bench.throughput import until_settled
from ops.bench.usage import Usage, usage_of
from ops.demo import child_environment
from ops.stack.processes import launcher
from schemas.errors import ConfigurationError, PipelineError

_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/")
_START_SECONDS_MAX = 300.0  # on a machine that is busy with other things; else it takes some
_END_SECONDS_MAX = 20.0
_LOOK_SECONDS = 0.1
_CONNECTIONS = 32
_SEED = 20_260_101
_PERCENTILES = (50, 99, 99.9)
_MS = 1e6


class ApiError(PipelineError):
    """The API has not answered as it should; nothing of the run is quoted."""


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds, of n things."""

    count: int
    p50: float
    p99: float
    p999: float
    most: float

    @classmethod
    def of(cls, measured: NDArray[np.float64]) -> Times:
        """Percentiles; `measured` is not empty.

        >>> Times.of(np.array([1.0, 2.0, 3.0])).p50
        2.0
        """
        p50, p99, p999 = np.percentile(measured, _PERCENTILES).tolist()
        return cls(len(measured), p50, p99, p999, float(measured.max()))


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the API.

    Attributes
    ----------
    requests : float
        Customers a second.
    processes : int
        That answer.
    """

    requests: float
    processes: int


@dataclass(frozen=True, slots=True)
class ApiRun:
    """One run.

    Attributes
    ----------
    customers : int
        Known when it began, of whom each question takes one at random.
    answers, hgetall : Times
        From when a question was due to its last byte.
    lateness : Times
        From when a question was due to when it was sent: the asker's own, and the wait for a connection.
    feed, topic : Times or None
        From a purchase's production to its change at who listens to the API, and at who reads the topic;
        None: there was none.
    cpu_us : float
        Of the API's processes for an answer, all they do besides included.
    api_mb : float
        Memory at its peak, of all processes.
    """

    load: Load
    customers: int
    answers: Times
    hgetall: Times
    lateness: Times
    feed: Times | None
    topic: Times | None
    cpu_us: float
    api_mb: float


def measure_api(
    installation: Installation, job: Job, known: int, course: Course, load: Load
) -> ApiRun:
    """Ask an API beside a worker that counts.

    Parameters
    ----------
    installation : Installation
        Reads a topic that holds the first `known` purchases of the job.
    course : Course
        Of the purchases; its `begins` is counted from `known` on.

    Raises
    ------
    ApiError
        An answer is missing, or is none; or the worker did not keep up.
    StalledError, ConfigurationError, HelperError
        The worker does not count, or a process has ended.
    """
    until_settled(installation, known)
    customers = sorted(set(job.customer_ids[:known]))
    settings = installation.settings
    with tempfile.TemporaryDirectory(prefix="everscore-bench-") as made:
        folder = Path(made)
        names = [folder / name for name in ("customers", "answers", "arrivals.npy")]
        names[0].write_bytes(msgspec.msgpack.encode(customers))
        with serving(installation, folder, load.processes) as (process, port, key):
            seconds = course.warm_up_seconds + course.seconds
            asking = Asking(
                port=port,
                redis_port=urlsplit(settings.redis).port or 0,
                key=key,
                redis_prefix=settings.keys.customer_prefix(0),
                customers=str(names[0]),
                rate=load.requests,
                seconds=seconds,
                connections=_CONNECTIONS,
                seed=_SEED,
                times=str(names[1]),
            )
            feeding = Feeding(port, key, str(names[2]))
            with helper("feed_listener", feeding) as listener, helper("asker", asking) as asker:
                before = usage_of(process.pid)
                rate = course.rate
                seen = send_steadily(installation, job, known, rate, lambda: tell(asker, "begin\n"))
                wait_for_end(asker, "asker")
                used = _between(before, usage_of(process.pid))
                listener.communicate()
            answers, plain = msgspec.msgpack.decode(names[1].read_bytes(), type=list[Answered])
        if not seen.kept_up:
            raise ApiError(
                f"The worker did not keep up with {course.rate:g} purchases a second beside the API: it had "
                f"counted {seen.counted:,} of {len(job):,} in the end."
            )
        begins = known + int(course.rate * course.warm_up_seconds)
        topic = _times(latencies_ms(job, seen.times, seen.arrivals, begins, known))
        feed = _times(latencies_ms(job, seen.times, np.load(names[2]), begins, known))
        skipped = int(load.requests * course.warm_up_seconds)
        return ApiRun(
            load,
            len(customers),
            answers=answer_times(answers, skipped),
            hgetall=answer_times(plain, skipped),
            lateness=Times.of(_difference(answers.sent, answers.due, skipped)),
            feed=feed,
            topic=topic,
            cpu_us=used.cpu_seconds / len(answers.due) * 1e6,
            api_mb=used.peak_mb,
        )


def answer_times(answered: Answered, skipped: int) -> Times:
    """Times of the questions after the warm-up.

    Raises
    ------
    ApiError
        One of them all was not answered, or not by 200.
    """
    missing = sum(at < 0 for at in answered.done)
    if missing:
        raise ApiError(f"{missing} of {len(answered.done)} questions were not answered.")
    others = sorted({status for status in answered.status if status != 200})
    if others:
        raise ApiError(f"Questions were answered by {others}, and all should be by 200.")
    return Times.of(_difference(answered.done, answered.due, skipped))


def _difference(later: list[int], earlier: list[int], skipped: int) -> NDArray[np.float64]:
    found: NDArray[np.float64] = (np.array(later) - np.array(earlier))[skipped:] / _MS
    return found


def _times(measured: NDArray[np.float64]) -> Times | None:
    return Times.of(measured) if len(measured) else None


def _between(before: Usage, after: Usage) -> Usage:
    return Usage(after.cpu_seconds - before.cpu_seconds, after.peak_mb)


@contextmanager
def serving(
    installation: Installation, folder: Path, processes: int
) -> Iterator[tuple[subprocess.Popen[bytes], int, str]]:
    """`everscore serve` on a free port, that has read all changes; its process, port and a key.

    Raises
    ------
    ConfigurationError
        It does not come up; says with which words.
    """
    keys, log = folder / "keys.json", folder / "serve.log"
    _, key = KeyFile(keys).create("bench", Role.PII_READER, now=utc_now(), days=1)
    environment = {
        name: value
        for name, value in child_environment(installation.settings).items()
        if not name.startswith("EVERSCORE_API_")
    } | {
        "PYTHONPATH": str(REPOSITORY),
        "EVERSCORE_API_KEYS": str(keys),
        "EVERSCORE_API_AUDIT": str(folder / "audit.jsonl"),
        "EVERSCORE_API_PORT": "0",
        "EVERSCORE_API_PROCESSES": str(processes),
    }
    with log.open("wb") as said:
        process = subprocess.Popen(  # noqa: S603 - our own words only
            [*launcher(), sys.executable, "-m", "ops.cli.main", "serve"],
            env=environment,
            stdout=said,
            stderr=said,
            cwd=folder,
        )
    try:
        yield process, _port_of(process, log), key
    finally:
        process.terminate()
        try:
            process.wait(_END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port_of(process: subprocess.Popen[bytes], log: Path) -> int:
    """Wait until it has read all changes that there are."""
    deadline = time.monotonic() + _START_SECONDS_MAX
    while process.poll() is None and time.monotonic() < deadline:
        found = _ADDRESS.search(log.read_text(encoding="utf-8", errors="replace"))
        if found is not None and _is_ready(int(found[1])):
            return int(found[1])
        time.sleep(_LOOK_SECONDS)
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    raise ConfigurationError(f"The API did not come up: {last or 'it said nothing.'}")


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready") as answer:
            return b'"caught up"' in answer.read()
    except (OSError, HTTPException):
        return False
