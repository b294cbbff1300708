"""A purchase costs no more instructions than it did: counted, not timed, so a busy machine says the same."""

from __future__ import annotations

import os

import pytest

from ops.bench.instructions import count_all, render, valgrind
from tests.support.compiled import needs_compiled

REQUIRE_VALGRIND = "REQUIRE_VALGRIND"

needs_compiled()


@pytest.fixture(scope="module")
def counted():
    if valgrind() is None:
        missing = "there is no valgrind"
        if os.environ.get(REQUIRE_VALGRIND) == "1":
            pytest.fail(f"{REQUIRE_VALGRIND}=1, but {missing}")
        pytest.skip(missing)
    return count_all()


def test_no_kernel_costs_more_instructions_than_were_accepted(counted):
    assert not [one.name for one in counted if one.grown], "\n" + render(counted)


def test_what_was_accepted_is_what_a_kernel_costs_and_not_far_above(counted):
    far = [one.name for one in counted if one.known is None or one.ratio < 0.7 * one.known]
    assert not far, f"make instructions ARGS=--accept keeps what was won\n{render(counted)}"
