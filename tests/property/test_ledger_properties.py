"""The packed ledger against a plain dictionary of days."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from scoring import ledger

EVENTS = st.lists(
    st.tuples(st.integers(-400, 40_000), st.integers(0, 10**15), st.booleans()),
    max_size=30,
)


def plain_summary(events):
    days = defaultdict(lambda: [0, 0, 0])
    for day, units, is_refund in events:
        if is_refund:
            days[day][2] += units
        else:
            days[day][0] += 1
            days[day][1] += units
    purchase_days = [
        day for day, (n, bought, back) in days.items() if n and not (bought > 0 and back >= bought)
    ]
    first = min(purchase_days, default=None)
    repeat = 0
    for day in sorted(days):
        _, bought, back = days[day]
        owner = max((d for d in purchase_days if d <= day), default=None)
        if owner is not None and owner != first:
            repeat += bought - back
    return len(purchase_days) - 1, first, max(purchase_days, default=None), repeat


@given(EVENTS, st.randoms())
@settings(max_examples=300)
def test_any_order_packs_to_the_same_bytes_and_the_plain_summary(events, random):
    packed = b""
    for day, units, is_refund in events:
        packed = ledger.add(packed, day, units, is_refund=is_refund)
    shuffled = list(events)
    random.shuffle(shuffled)
    again = b""
    for day, units, is_refund in shuffled:
        again = ledger.add(again, day, units, is_refund=is_refund)
    assert again == packed
    summary = ledger.summarise(packed)
    frequency, first, last, repeat = plain_summary(events)
    assert summary.frequency == frequency
    assert summary.first_day == (ledger.NO_DAY if first is None else first)
    assert summary.last_day == (ledger.NO_DAY if last is None else last)
    assert summary.repeat_units == repeat
    assert summary.purchase_units == sum(u for _, u, refund in events if not refund)
    assert summary.refund_units == sum(u for _, u, refund in events if refund)


@given(EVENTS.filter(bool), st.integers(0, 10**12))
def test_appending_equals_adding(events, units):
    packed = b""
    for day, amount, is_refund in events:
        packed = ledger.add(packed, day, amount, is_refund=is_refund)
    summary = ledger.summarise(packed)
    later = summary.tail_day + 3
    assert ledger.append_purchase(packed, summary.tail_day, later, units) == ledger.add(
        packed, later, units, is_refund=False
    )
    extended = ledger.extend_last_day(packed, summary.tail, units)
    if extended is not None:
        assert extended == ledger.add(packed, summary.tail_day, units, is_refund=False)


@given(st.lists(st.binary(min_size=8, max_size=8), max_size=20), st.binary(min_size=8, max_size=8))
def test_a_hash_is_found_only_where_it_stands(hashes, wanted):
    assert ledger.contains_hash(b"".join(hashes), wanted) == (wanted in hashes)


@given(st.binary(max_size=40), st.integers(0, 10**6), st.integers(0, 4), st.integers(0, 4))
def test_pack_and_unpack_are_inverse(days, generation, previous, current):
    recent = ledger.RecentIds(generation, b"p" * 8 * previous, b"c" * 8 * current)
    assert ledger.unpack_ledger(ledger.pack_ledger(days, recent)) == (days, recent)
