"""Customers with anything in them that they may hold, on the bootstrap scorecard."""

from __future__ import annotations

from hypothesis import strategies as st

from schemas.transaction import FIRST_US, LAST_US
from scoring import ledger
from scoring.bootstrap import bootstrap_scorecard
from scoring.states import NEVER_US, NONE, UNKNOWN_US, States
from scoring.timeline import Timeline

TOPICS = ("transactions", "transactions.rekeyed")
US_PER_DAY = 86_400_000_000
TIMELINE = Timeline.of(bootstrap_scorecard())
SEGMENTS = len(TIMELINE.card.scorecard.segments)

DAYS = st.lists(
    st.tuples(st.integers(-700_000, 100_000), st.integers(0, 10**15), st.booleans()),
    min_size=1,
    max_size=6,
)
HASHES = st.integers(0, 3).flatmap(lambda count: st.binary(min_size=8 * count, max_size=8 * count))
INSTANTS = st.integers(FIRST_US, LAST_US)


@st.composite
def states_of_customers(draw) -> States:
    ids = draw(st.lists(st.text("abcé日-", min_size=1, max_size=5), unique=True, max_size=4))
    states = States.blank(ids)
    for row in range(len(ids)):
        packed = b""
        for day, units, is_refund in draw(DAYS):
            packed = ledger.add(packed, day, units, is_refund=is_refund)
        summary = ledger.summarise(packed)
        states.days[row] = packed
        states.ids_previous[row] = draw(HASHES)
        states.ids_current[row] = draw(HASHES)
        number = states.numbers[row]
        for column in summary.__slots__:
            number[column] = getattr(summary, column)
        number["ids_generation"] = draw(st.integers(0, 2**40))
        number["sequence"] = draw(st.integers(0, 2**60))
        number["source_topic"] = draw(st.integers(0, 1))
        number["source_offset"] = draw(st.integers(0, 2**62))
        number["first_at_us"] = draw(INSTANTS | st.just(NEVER_US))
        number["last_at_us"] = draw(INSTANTS | st.just(UNKNOWN_US))
        number["segment_since_us"] = draw(INSTANTS | st.just(UNKNOWN_US))
        number["as_of_us"] = draw(INSTANTS)
        if summary.frequency >= 0:
            number["as_of_us"] = summary.last_day * US_PER_DAY + draw(st.integers(0, 10**15))
            number["prob_alive"] = draw(st.floats(0, 1))
            number["segment"] = draw(st.integers(0, SEGMENTS - 1))
            number["lifecycle"] = draw(st.integers(0, 2))
            number["next_review_us"] = draw(INSTANTS | st.just(NEVER_US))
            number["next_segment"] = draw(st.integers(NONE, SEGMENTS - 1))
            number["next_lifecycle"] = draw(st.integers(NONE, 2))
    return states
