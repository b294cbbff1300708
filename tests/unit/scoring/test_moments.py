"""Instants as text: by table or by numpy, the same characters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from scoring.moments import rfc3339, rfc3339_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_US = 253_402_300_799_999_999  # the end of the year 9999
IN_TABLE_US = 4_133_980_800_000_000 - 1  # the end of 2100
MANY = 64


def text_of(instant_us: int) -> str:
    moment = EPOCH + timedelta(microseconds=instant_us)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


@given(st.lists(st.integers(0, IN_TABLE_US), min_size=MANY, max_size=MANY))
def test_many_instants_read_as_python_writes_them(instants):
    assert rfc3339(np.array(instants)) == [text_of(instant) for instant in instants]


@given(st.lists(st.integers(-(10**16), LATEST_US), max_size=MANY + 10))
def test_instants_of_any_century_read_as_python_writes_them(instants):
    texts = rfc3339(np.array(instants, dtype=np.int64))
    assert texts == [text_of(instant) for instant in instants]


def test_moment_that_is_none_has_no_text_among_many():
    instants = np.zeros(MANY, dtype=np.int64)
    instants[[3, 5]] = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    texts = rfc3339(instants)
    assert [row for row, text in enumerate(texts) if text is None] == [3, 5]
    assert set(texts) == {"1970-01-01T00:00:00.000000Z", None}


def test_last_day_of_the_table_and_the_first_beyond_it():
    last = np.full(MANY, IN_TABLE_US)
    assert set(rfc3339(last)) == {"2100-12-31T23:59:59.999999Z"}
    assert set(rfc3339(last + 1)) == {"2101-01-01T00:00:00.000000Z"}


@given(st.integers(-(2**63), 2**63 - 1) | st.integers(-LATEST_US, LATEST_US))
@example(-62_135_596_800_000_000)  # the year 1
@example(-62_135_596_800_000_001)
@example(LATEST_US)
@example(LATEST_US + 1)
def test_one_instant_reads_as_among_many(instant_us):
    assert [rfc3339_of(instant_us)] == rfc3339(np.array([instant_us]))
