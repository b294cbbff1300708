"""Callers' rates where several processes answer: one bucket each, whoever is asked."""

from __future__ import annotations

import json
import os
import random
import sys

from ops.api.audit import AuditLog
from ops.api.keys import ApiKey, utc_now
from ops.api.policy import Role
from ops.api.rate_limit import SHARED_BYTES, RateLimit, SharedRateLimit
from ops.api.settings import STDOUT
from ops.api.shared_file import SharedFile, nameless_file

PROCESSES, ASKS, BURST, LINES = 4, 500, 700, 20


def test_shared_buckets_fill_and_empty_as_those_of_one_process() -> None:
    chosen = random.Random(6)
    with nameless_file(SHARED_BYTES) as file:
        own = RateLimit()
        shared = [SharedRateLimit(SharedFile(file.fileno())) for _ in range(2)]
        now, refused = 1_000.0, 0
        for number in range(5_000):
            now += chosen.random() * 0.1
            asked = {"caller": f"key-{chosen.randrange(30)}", "per_second": 0.5, "burst": 5}
            asked |= {"now": now, "cost": chosen.choice((1, 1, 3, 9))}
            told = own.wait_seconds(**asked)
            assert shared[number % 2].wait_seconds(**asked) == told
            refused += told > 0
    assert 100 < refused < 4_900


def test_many_processes_at_once_give_out_no_more_than_there_is() -> None:
    with nameless_file(SHARED_BYTES) as file:
        reading, writing = os.pipe()
        children = []
        for _ in range(PROCESSES):
            pid = os.fork()
            if pid == 0:
                limit = SharedRateLimit(SharedFile(file.fileno()))
                served = sum(
                    limit.wait_seconds("key", 1e-9, BURST, now=5.0) == 0 for _ in range(ASKS)
                )
                os.write(writing, f"{served}\n".encode())
                os._exit(0)
            children.append(pid)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * PROCESSES
        os.close(writing)
        with os.fdopen(reading) as told:
            counts = [int(line) for line in told]
    assert len(counts) == PROCESSES
    assert sum(counts) == BURST < PROCESSES * ASKS


def test_process_that_dies_with_a_lock_keeps_nobody_waiting() -> None:
    with nameless_file(SHARED_BYTES) as file:
        pid = os.fork()
        if pid == 0:
            with SharedFile(file.fileno()).locked(0, SHARED_BYTES):
                os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert SharedRateLimit(SharedFile(file.fileno())).wait_seconds("k", 1.0, 1, now=5.0) == 0


def test_clock_read_earlier_than_anothers_takes_no_tokens_away() -> None:
    with nameless_file(SHARED_BYTES) as file:
        limit = SharedRateLimit(SharedFile(file.fileno()))
        assert limit.wait_seconds("k", 1.0, 2, now=10.0) == 0
        assert limit.wait_seconds("k", 1.0, 2, now=9.0) == 0
        assert limit.wait_seconds("k", 1.0, 2, now=9.5) == 1
        assert limit.wait_seconds("k", 1.0, 2, now=11.0) == 0


def test_full_table_forgets_who_has_not_come_for_the_longest() -> None:
    with nameless_file(SHARED_BYTES) as file:
        limit = SharedRateLimit(SharedFile(file.fileno()))
        assert limit.wait_seconds("patient", 1e-9, 1, now=1.0) == 0
        assert limit.wait_seconds("patient", 1e-9, 1, now=500_000.0) > 0
        for number in range(40_000):  # twice as many as there is room for
            limit.wait_seconds(f"key-{number}", 1e-9, 1, now=600_000.0 + number)
        assert limit.wait_seconds("patient", 1e-9, 1, now=700_000.0) == 0
        assert limit.wait_seconds("key-39999", 1e-9, 1, now=700_000.0) > 0


def test_line_to_stdout_is_written_by_one_process_at_a_time() -> None:
    key = ApiKey(id="0" * 8, name="k", role=Role.ADMIN, sha256="0" * 64, created_at=utc_now())
    many = [f"{number:064x}" for number in range(2_000)]  # 130 kB: more than a pipe takes at once
    reading, writing = os.pipe()
    with nameless_file(SHARED_BYTES) as file:
        children = []
        for _ in range(PROCESSES):
            pid = os.fork()
            if pid == 0:
                os.close(reading)
                sys.stdout = os.fdopen(writing, "w")
                log = AuditLog(STDOUT, SharedFile(file.fileno()).alone)
                for _ in range(LINES):
                    log.note(utc_now(), key, "r", "batch", many)
                os._exit(0)
            children.append(pid)
        os.close(writing)
        with os.fdopen(reading) as told:
            lines = told.read().splitlines()
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * PROCESSES
    assert len(lines) == LINES * PROCESSES
    assert all(json.loads(line)["customers"] == many for line in lines)
