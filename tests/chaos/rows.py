"""The rows of the matrix: what is sent, what strikes, how often, and by when it must be over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos import server_faults, worker_faults
from tests.chaos.stage import Fault
from tests.chaos.transactions import Outgoing, disordered, duplicated, plain, poisoned

WORKER_SECONDS_MAX = 20.0
BROKER_SECONDS_MAX = 60.0
OTHER_SECONDS_MAX = 60.0  # nobody promised anything of these; a minute is what a broker gets


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes
    ----------
    faults : int
        In the full matrix.
    short_faults : int
        In a short pass.
    records : callable
        Seed, number of transactions and of customers to what is sent.
    workers : int
        At the start.
    proxied : bool
        Workers reach Redis through doors of ours.
    kafka_proxied, replicated : bool
        Kafka too; and there is a replica of Redis.
    """

    name: str
    title: str
    faults: int
    inject: Fault
    seconds_max: float = OTHER_SECONDS_MAX
    short_faults: int = 1
    records: Callable[[int, int, int], list[Outgoing]] = plain
    workers: int = 3
    proxied: bool = False
    kafka_proxied: bool = False
    replicated: bool = False


ROWS = (
    Row(
        "worker-kill",
        "worker kill -9 at random points",
        20,
        worker_faults.kill,
        WORKER_SECONDS_MAX,
    ),
    Row(
        "worker-term",
        "SIGTERM in mid-batch",
        20,
        worker_faults.terminate_in_mid_batch,
        WORKER_SECONDS_MAX,
        proxied=True,
    ),
    Row(
        "worker-zombie",
        "SIGSTOP beyond the session timeout, SIGCONT",
        10,
        worker_faults.zombie,
        WORKER_SECONDS_MAX,
    ),
    Row("scale", "scale 1 → 3 → 1", 10, worker_faults.scale, WORKER_SECONDS_MAX, workers=1),
    Row(
        "broker-restart",
        "broker clean restart",
        5,
        server_faults.restart_broker,
        BROKER_SECONDS_MAX,
    ),
    Row("broker-kill", "broker kill -9", 5, server_faults.kill_broker, BROKER_SECONDS_MAX),
    Row("redis-kill", "Redis kill -9", 10, server_faults.kill_redis, short_faults=2),
    Row(
        "redis-cut-back",
        "Redis kill -9, its AOF cut back by a second at a random byte",
        20,
        server_faults.cut_back_redis,
        short_faults=2,
    ),
    Row(
        "redis-promotion",
        "promotion of a lagging replica, the old primary still takes writes",
        10,
        server_faults.promote,
        short_faults=2,
        proxied=True,
        replicated=True,
    ),
    Row("redis-flush", "FLUSHALL", 5, server_faults.flush),
    Row("redis-full", "Redis out of memory for 60 s", 1, server_faults.fill_redis),
    Row(
        "duplicates",
        "10 % produced twice, producer restarts",
        10,
        server_faults.restart_producer,
        short_faults=2,
        records=duplicated,
    ),
    Row(
        "disorder",
        "20 % shuffled, 5 % late",
        1,
        server_faults.nothing,
        records=disordered,
    ),
    Row("poison", "1 % poison", 1, server_faults.nothing, records=poisoned),
    Row(
        "link",
        "link to Redis and Kafka: delay, cut, reply lost after apply",
        18,
        server_faults.disturb_link,
        short_faults=6,
        proxied=True,
        kafka_proxied=True,
    ),
    Row(
        "crash-points",
        "kill -9 between commit, outbox publication and trim",
        20,
        worker_faults.crash_point,
        WORKER_SECONDS_MAX,
        short_faults=2,
        proxied=True,
    ),
)
