"""What is compiled writes the bytes that Python writes; what those mean, the contract tests say."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.transaction import FIRST_US, LAST_US
from scoring.change_bodies import (
    _EXACT,
    _ROUNDED,
    ChangeColumns,
    Vocabulary,
    Written,
    write,
    write_compiled,
    write_plainly,
)
from scoring.states import NEVER_US, NUMBERS, UNKNOWN_US
from scoring.telling import Told
from tests.support.compiled import needs_compiled

needs_compiled()

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
MOMENTS = st.integers(FIRST_US, LAST_US) | st.just(NEVER_US)
INTEGERS = st.integers(-(2**62), 2**62)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.floats(min_value=0.0)  # what is no number is told as null


@st.composite
def changes(draw: st.DrawFn) -> tuple[ChangeColumns, Vocabulary]:
    """Columns with anything in them that they may hold."""
    count = draw(st.integers(1, 6))
    words = Vocabulary(
        customers=[name.encode() for name in draw(st.lists(NAMES, min_size=1, max_size=4))],
        kinds=[b"one.v1", b"two.v1"],
        causes=[b"transaction", b"silence"],
        labels=[name.encode() for name in draw(st.lists(NAMES, min_size=1, max_size=5))],
        topics=[name.encode() for name in draw(st.lists(NAMES, min_size=1, max_size=2))],
        version=draw(NAMES).encode(),
    )

    def column(strategy: st.SearchStrategy[int], dtype: type) -> np.ndarray:
        return np.array(draw(st.lists(strategy, min_size=count, max_size=count)), dtype=dtype)

    def index(texts: list[bytes], spare: int = 0) -> st.SearchStrategy[int]:
        return st.integers(0, len(texts) - 1 + spare)

    numbers = np.zeros(count, dtype=NUMBERS)
    for name in ("as_of_us", "next_review_us"):
        numbers[name] = column(MOMENTS, np.int64)
    for name in ("sequence", "source_offset"):
        numbers[name] = column(INTEGERS, np.int64)
    numbers["frequency"] = column(st.integers(-1, 2**40), np.int64)
    numbers["source_topic"] = column(index(words.topics), np.int64)
    label = index(words.labels, 1)
    columns = ChangeColumns(
        numbers,
        customers=column(index(words.customers), np.int64),
        kinds=column(index(words.kinds), np.uint8),
        causes=column(index(words.causes), np.uint8),
        previous=column(label, np.int16),
        current=column(label, np.int16),
        beyond=column(label, np.int16),
        next_segments=column(label, np.int16),
        next_lifecycles=column(label, np.int16),
        told=Told(
            beyond=column(label, np.int16),
            rfm=column(st.integers(111, 555), np.int16),
            **{name: column(FLOATS, np.float64) for name in _EXACT},
            **{name: column(VALUES, np.float64) for name in _ROUNDED},
        ),
    )
    return columns, words


def texts(written: Written) -> tuple[list[bytes], bytes, list[bytes]]:
    return list(written.bodies), written.ids, list(written.times)


@given(changes(), st.integers(0, 2**31))
def test_compiled_changes_are_those_of_python(given_, partition):
    columns, words = given_
    compiled = texts(write_compiled(columns, words, partition))
    assert compiled == texts(write_plainly(columns, words, partition))
    for body in compiled[0]:
        json.loads(body)


def one_change(at_us: int) -> tuple[ChangeColumns, Vocabulary]:
    words = Vocabulary([b"c"], [b"k"], [b"silence"], [b"Loyal"], [b"t"], b"v")
    numbers = np.zeros(1, dtype=NUMBERS)
    numbers["as_of_us"] = at_us
    small = {name: np.zeros(1, dtype=np.int16) for name in ("previous", "current", "beyond")}
    small |= {name: np.zeros(1, dtype=np.int16) for name in ("next_segments", "next_lifecycles")}
    floats = {name: np.zeros(1) for name in (*_EXACT, *_ROUNDED)}
    columns = ChangeColumns(
        numbers,
        customers=np.zeros(1, dtype=np.int64),
        kinds=np.zeros(1, dtype=np.uint8),
        causes=np.zeros(1, dtype=np.uint8),
        told=Told(beyond=small["beyond"], rfm=np.zeros(1, dtype=np.int16), **floats),
        **small,
    )
    return columns, words


@given(st.integers(FIRST_US, LAST_US))
@example(FIRST_US)
@example(LAST_US)
@example(-1)
@example(951_782_400_000_000)  # 2000-02-29
@example(4_107_542_400_000_000)  # 2100-03-01, no leap year
def test_compiled_moments_are_those_of_numpy(at_us):
    columns, words = one_change(at_us)
    (time,) = write_compiled(columns, words, 0).times
    expected = np.datetime_as_string(np.datetime64(at_us, "us"), unit="us") + "Z"
    assert time.decode() == expected


def test_moments_before_the_year_one_are_left_to_python():
    for at_us in (FIRST_US - 1, UNKNOWN_US):
        columns, words = one_change(at_us)
        assert write_compiled(columns, words, 0) is None
        written = texts(write(columns, words, 0))
        assert written == texts(write_plainly(columns, words, 0))
