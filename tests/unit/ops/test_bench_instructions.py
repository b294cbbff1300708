"""Counting instructions: what a purchase costs is a difference, and what it may cost is written down."""

from __future__ import annotations

import json
import sys
from operator import itemgetter

import pytest

from ops.bench import instructions
from ops.bench.instructions import Counted, accept, count_all, read_known, render, rows_of
from ops.bench.job import make_job
from ops.bench.kernels import KERNELS, read_purchases, write_purchases
from schemas.errors import ConfigurationError
from streams.homes import home_partition

# Starting costs a million, each kernel's purchase a thousand times its place.
FAKE = f"""#!{sys.executable}
import sys
counts = list(map(int, sys.argv[-{len(KERNELS)}:]))
total = 1_000_000 + sum(1_000 * (place + 1) * count for place, count in enumerate(counts))
print(f"==1== I   refs:      {{total:,}}", file=sys.stderr)
"""


@pytest.fixture
def fake_valgrind(tmp_path, monkeypatch):
    program = tmp_path / "valgrind"
    program.write_text(FAKE)
    program.chmod(0o755)
    monkeypatch.setattr(instructions, "valgrind", lambda: str(program))
    monkeypatch.setattr(instructions, "KNOWN", tmp_path / "known.json")
    return program


def test_what_starting_costs_is_in_no_kernels_figure(fake_valgrind):
    instructions.KNOWN.write_text("{}")
    found = count_all()
    assert [one.instructions for one in found] == [1_000.0, 2_000.0, 3_000.0, 4_000.0]
    assert [one.ratio for one in found] == [1.0, 2.0, 3.0, 4.0]
    assert [one.grown for one in found] == [False, True, True, True]  # never accepted


def test_accepted_counts_are_what_is_compared_with(fake_valgrind):
    instructions.KNOWN.write_text("{}")
    accept(count_all())
    assert read_known() == dict(zip(list(KERNELS)[1:], [2.0, 3.0, 4.0], strict=True))
    assert not any(one.grown for one in count_all())


@pytest.mark.parametrize(("ratio", "grown"), [(2.19, False), (2.21, True), (1.0, False)])
def test_kernel_may_cost_a_tenth_more_than_it_did(ratio, grown):
    one = Counted("decode", 1_000.0, ratio, 2.0)
    assert one.grown is grown
    assert ("more than it may" in render([one])) is grown


def test_valgrind_that_is_missing_is_named_with_what_installs_it(fake_valgrind, monkeypatch):
    monkeypatch.setattr(instructions, "valgrind", lambda: None)
    with pytest.raises(ConfigurationError, match="no valgrind") as caught:
        count_all()
    assert "make services" in caught.value.hint


def test_kernel_that_fails_is_told_by_its_last_words(fake_valgrind):
    fake_valgrind.write_text("#!/bin/sh\necho 'ValueError: no such purchase' >&2\nexit 1\n")
    with pytest.raises(ConfigurationError, match="ended with 1: ValueError: no such purchase"):
        count_all()


def test_every_known_kernel_is_one_that_is_counted():
    assert set(json.loads(instructions.KNOWN.read_text())) == set(KERNELS) - {"reference"}


def test_purchases_of_the_kernels_span_a_year_and_live_on_one_partition():
    job = make_job(1)
    rows = rows_of(job)
    assert len(rows) >= max(instructions._MANY.values())
    assert {home_partition(customer, 4) for _, customer, _ in rows} == {0}
    counted = rows[: instructions._MANY["slices of 500"]]
    assert counted == sorted(counted, key=itemgetter(0))
    assert counted[-1][0] - counted[0][0] >= 365 * 86_400_000


@pytest.mark.parametrize("name", list(KERNELS))
def test_kernel_runs_on_purchases_from_a_file(name, tmp_path):
    path = tmp_path / "purchases.json"
    write_purchases(path, rows_of(make_job(1))[:40])
    assert len(read_purchases(path, 16)) == 16
    KERNELS[name](read_purchases(path, 16))
