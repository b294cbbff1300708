"""Events are entered compiled as they are in Python, into whatever a ledger may hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring import booking, ledger
from scoring.booking import Entries, enter, enter_plainly
from scoring.ledger import DayEntry
from tests.support.compiled import needs_compiled

needs_compiled()

UNITS = st.integers(0, 300) | st.integers(0, 4 * 10**18)
KEYS = st.sampled_from([bytes([n]) * 8 for n in range(4)])
DAYS = st.integers(-40, 40)


@st.composite
def ledgers(draw: st.DrawFn) -> bytes:
    days = sorted(draw(st.sets(DAYS, max_size=5)))
    entries = []
    for day in days:
        purchases = draw(st.integers(0, 200))
        refund = draw(st.integers(0, 900)) if purchases else draw(st.integers(1, 900))
        entries.append(DayEntry(day, purchases, draw(UNITS) if purchases else 0, refund))
    return ledger.pack_days(entries)


@st.composite
def entries(draw: st.DrawFn) -> Entries:
    days = draw(st.lists(ledgers(), min_size=1, max_size=5))
    summaries = [ledger.summarise(packed) for packed in days]

    def column(strategy: st.SearchStrategy[int]) -> np.ndarray:
        return np.array([draw(strategy) for _ in days], dtype=np.int64)

    def ids() -> list[bytes]:
        return [b"".join(draw(st.lists(KEYS, max_size=4))) for _ in days]

    return Entries(
        ledgers=days,
        ids_previous=ids(),
        ids_current=ids(),
        generations=column(st.integers(0, 3)),
        tails=np.array([one.tail for one in summaries]),
        hashes=[draw(KEYS) for _ in days],
        arrived=column(st.integers(0, 6)),
        tail_days=np.array([one.tail_day for one in summaries]),
        days=column(DAYS),
        units=column(UNITS),
        is_refund=column(st.integers(0, 1)).astype(np.uint8),
        too_much=column(st.sampled_from([0, 0, 0, 1])).astype(np.uint8),
        frequency=np.array([one.frequency for one in summaries]),
    )


def copy_of(given_: Entries) -> Entries:
    return Entries(
        *(list(column) if isinstance(column, list) else column.copy() for column in given_)
    )


@given(entries())
def test_compiled_entries_are_those_of_python(given_):
    compiled, plain = copy_of(given_), copy_of(given_)
    assert enter(compiled).tolist() == enter_plainly(plain).tolist()
    for one, other in zip(compiled, plain, strict=True):
        assert list(one) == list(other)


@pytest.mark.parametrize("how", ["compiled", "in Python"])
def test_damaged_ledger_is_refused(monkeypatch, how):
    if how == "in Python":
        monkeypatch.setattr(booking, "_booking", None)
    one = np.ones(1, dtype=np.int64)
    flag = np.zeros(1, dtype=np.uint8)
    cut = Entries(
        [b"\x02\x02\xff"],
        [b""],
        [b""],
        one,
        one * 0,
        [b"k" * 8],
        one,
        one,
        one,
        one,
        flag,
        flag,
        one,
    )
    with pytest.raises(ledger.LedgerError, match="ends inside a number"):
        enter(cut)
