"""Tails of changes and of records in batches: compiled, in Python, and as they are foretold, the same."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.change_events import KINDS, RenderedChanges
from scoring.texts import Texts
from streams import tails
from streams.tails import (
    ChangeTails,
    batch_records,
    find_tails,
    fingerprint,
    fingerprints_of,
    read_tail,
    sized,
    tail_of,
)
from tests.support.compiled import needs_compiled

needs_compiled()

BYTES = st.binary(max_size=200)


@st.composite
def told(draw: st.DrawFn) -> RenderedChanges:
    count = draw(st.integers(0, 5))
    names = draw(st.lists(BYTES, min_size=1, max_size=3))
    index = st.lists(st.integers(0, len(names) - 1), min_size=count, max_size=count)
    kinds = st.lists(st.integers(0, len(KINDS) - 1), min_size=count, max_size=count)
    some = st.lists(BYTES, min_size=count, max_size=count)
    return RenderedChanges(
        names,
        customers=np.array(draw(index), dtype=np.int64),
        sequences=np.arange(count),
        kinds=np.array(draw(kinds), dtype=np.uint8),
        ids=draw(st.binary(min_size=36 * count, max_size=36 * count)),
        times=Texts.of(draw(some)),
        bodies=Texts.of(draw(some)),
    )


@given(told())
def test_tails_of_changes_are_those_that_their_records_will_have(changes):
    writer = ChangeTails("/shop")
    compiled = list(writer.of(changes))
    assert compiled == list(writer.written_plainly(changes))
    assert compiled == [
        tail_of(changes.key(row), changes.bodies[row], changes.headers(row, "/shop"))
        for row in range(len(changes))
    ]


HEADERS = st.lists(st.tuples(st.text(max_size=5), st.none() | BYTES), max_size=3)


@given(st.none() | BYTES, st.none() | BYTES, HEADERS)
def test_tail_reads_as_what_it_was_written_from(key, value, headers):
    assert read_tail(tail_of(key, value, headers)) == (key, value, headers)


@given(st.lists(BYTES, min_size=1, max_size=200), st.data())
def test_records_of_a_batch_are_the_same_without_a_compiler(texts, data):
    last = data.draw(st.integers(1, len(texts)))
    first = data.draw(st.integers(0, last - 1))
    compiled = batch_records(Texts.of(texts), first, last)
    with mock.patch.object(tails, "_records", None):
        assert batch_records(Texts.of(texts), first, last) == compiled


@given(st.lists(BYTES, max_size=6))
def test_fingerprints_are_the_same_whoever_takes_them(texts):
    expected = [fingerprint(text) for text in texts]
    assert fingerprints_of(Texts.of(texts)).tolist() == expected


def test_fingerprints_and_places_are_the_same_without_a_compiler(monkeypatch):
    body = b"".join(sized(b"\x00" + sized(b"") + b"\x00" + bytes([n] * n)) for n in range(1, 200))
    places = find_tails(body, 0, 199)
    prints = tails.fingerprints_at(body, *places)
    monkeypatch.setattr(tails, "_records", None)
    assert [place.tolist() for place in find_tails(body, 0, 199)] == [p.tolist() for p in places]
    assert tails.fingerprints_at(body, *places).tolist() == prints.tolist()


@pytest.mark.parametrize("end", [0, 1, 2, 3, 50, 99])
def test_record_that_reaches_beyond_its_batch_is_refused(end):
    record = sized(b"\x00\x00\x00" + bytes(100))
    with pytest.raises(ValueError, match="record 0 of 1 "):
        find_tails(record[:end], 0, 1)
