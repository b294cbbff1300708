"""The owner's cache: bounded, least recently used first, copies in and copies out."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.states import States
from state.owner_cache import OwnerCache


def states_of(values: dict[str, int]) -> States:
    """States whose every column names the value."""
    states = States.blank(list(values))
    for row, value in enumerate(values.values()):
        states.numbers["sequence"][row] = value
        states.numbers["prob_alive"][row] = value / 7
        states.days[row] = b"d%d" % value
        states.ids_previous[row] = b"p%d" % value
        states.ids_current[row] = b"c%d" % value
    return states


def values_of(states: States) -> dict[str, int]:
    """The values, after a check that all columns agree on them."""
    sequences = states.numbers["sequence"].tolist()
    assert states.days.tolist() == [b"d%d" % value for value in sequences]
    assert states.ids_previous.tolist() == [b"p%d" % value for value in sequences]
    assert states.ids_current.tolist() == [b"c%d" % value for value in sequences]
    assert states.numbers["prob_alive"].tolist() == [value / 7 for value in sequences]
    return dict(zip(states.customer_ids, sequences, strict=True))


def test_empty_cache_has_nobody():
    cache = OwnerCache(3)
    found, positions = cache.get(["a", "b"])
    assert len(cache) == len(found) == len(positions) == 0
    cache.put(States.blank([]))
    assert len(cache) == 0


def test_customers_found_are_named_by_their_position_among_those_asked_for():
    cache = OwnerCache(3)
    cache.put(states_of({"a": 1, "b": 2}))
    found, positions = cache.get(["x", "b", "y", "a"])
    assert positions.tolist() == [1, 3]
    assert values_of(found) == {"b": 2, "a": 1}
    assert "a" in cache
    assert "x" not in cache


def test_full_cache_lets_the_least_recently_used_go():
    cache = OwnerCache(3)
    cache.put(states_of({"a": 1, "b": 2, "c": 3}))
    cache.get(["a"])
    cache.put(states_of({"b": 20}))
    cache.put(states_of({"d": 4}))
    assert [name in cache for name in "abcd"] == [True, True, False, True]
    cache.put(states_of({"e": 5, "f": 6}))
    assert values_of(cache.get(list("abcdef"))[0]) == {"d": 4, "e": 5, "f": 6}


def test_who_was_not_used_is_kept_as_they_are_now_and_nobody_makes_room():
    cache = OwnerCache(2)
    cache.put(states_of({"a": 1, "b": 2}))
    cache.put(states_of({"a": 3, "x": 9}), used=False)
    found, positions = cache.get(["a", "b", "x"], used=False)
    assert (values_of(found), positions.tolist()) == ({"a": 3, "b": 2}, [0, 1])
    cache.put(states_of({"c": 4}))  # "a" is still the one who was used least recently
    found, _ = cache.get(["a", "b", "c"])
    assert values_of(found) == {"b": 2, "c": 4}


def test_who_was_not_used_fills_what_room_there_is():
    cache = OwnerCache(3)
    cache.put(states_of({"a": 1}))
    cache.put(states_of({"x": 8, "y": 9}), used=False)
    assert len(cache) == 3
    cache.put(states_of({"a": 2, "z": 7}), used=False)
    assert values_of(cache.get(["a", "x", "y", "z"])[0]) == {"a": 2, "x": 8, "y": 9}


def test_asking_whether_someone_is_here_is_no_use_of_them():
    cache = OwnerCache(2)
    cache.put(states_of({"a": 1, "b": 2}))
    assert "a" in cache
    cache.put(states_of({"c": 3}))
    assert "a" not in cache


def test_more_states_than_fit_leave_the_last_of_them():
    cache = OwnerCache(3)
    cache.put(states_of({"a": 1, "b": 2}))
    cache.put(states_of({str(number): number for number in range(10)}))
    assert len(cache) == 3
    assert values_of(cache.get([*"ab", *map(str, range(10))])[0]) == {"7": 7, "8": 8, "9": 9}


@pytest.mark.parametrize("capacity", [-1, 0, 1])
def test_cache_holds_at_least_one(capacity):
    cache = OwnerCache(capacity)
    cache.put(states_of({"a": 1, "b": 2}))
    assert values_of(cache.get(["a", "b"])[0]) == {"b": 2}


@pytest.mark.parametrize("step", [1, 700, 5_000])
def test_cache_grows_to_its_capacity_and_not_beyond(step):
    capacity = 3_000
    cache = OwnerCache(capacity)
    for start in range(0, 5_000, step):
        cache.put(states_of({str(n): n for n in range(start, min(start + step, 5_000))}))
    assert len(cache) == capacity
    assert len(cache._rows.numbers) == capacity
    asked = [str(n) for n in range(5_000)]
    assert values_of(cache.get(asked)[0]) == {str(n): n for n in range(2_000, 5_000)}


def test_changing_what_was_got_or_put_changes_nothing_here():
    cache = OwnerCache(3)
    given_in = states_of({"a": 1})
    cache.put(given_in)
    given_in.numbers["sequence"] = 99
    given_in.days[0] = b"other"
    got, _ = cache.get(["a"])
    assert values_of(got) == {"a": 1}
    got.numbers["sequence"] = 98
    got.ids_current[0] = b"other"
    assert values_of(cache.get(["a"])[0]) == {"a": 1}


def test_customer_asked_for_twice_is_given_twice():
    cache = OwnerCache(3)
    cache.put(states_of({"a": 1}))
    found, positions = cache.get(["a", "a"])
    assert found.customer_ids == ["a", "a"]
    assert positions.tolist() == [0, 1]


def test_cleared_cache_forgets_everyone_and_serves_again():
    cache = OwnerCache(3)
    cache.put(states_of({"a": 1, "b": 2}))
    cache.clear()
    assert len(cache) == 0
    assert "a" not in cache
    cache.put(states_of({"b": 5, "c": 6, "d": 7}))
    assert values_of(cache.get(list("abcd"))[0]) == {"b": 5, "c": 6, "d": 7}


IDS = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)


@given(st.integers(1, 6), st.lists(st.tuples(st.booleans(), IDS), max_size=25))
@settings(max_examples=200)
def test_any_use_equals_an_ordered_dictionary(capacity, steps):
    cache, plain = OwnerCache(capacity), OrderedDict()
    for number, (puts, ids) in enumerate(steps):
        if puts:
            values = {name: 100 * number + row for row, name in enumerate(ids)}
            cache.put(states_of(values))
            for name, value in values.items():
                if name not in plain and len(plain) >= capacity:
                    plain.popitem(last=False)
                plain[name] = value
                plain.move_to_end(name)
        else:
            found, positions = cache.get(ids)
            here = [name for name in ids if name in plain]
            for name in here:
                plain.move_to_end(name)
            assert values_of(found) == {name: plain[name] for name in here}
            assert positions.tolist() == [ids.index(name) for name in here]
        assert len(cache) == len(plain)
        assert [name in cache for name in "abcdefgh"] == [name in plain for name in "abcdefgh"]
    assert values_of(cache.get(list(plain))[0]) == dict(plain)
    assert np.all(cache.get(list(plain))[1] == np.arange(len(plain)))
