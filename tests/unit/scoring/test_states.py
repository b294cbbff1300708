"""Rows of states are copied compiled as numpy copies them."""

from __future__ import annotations

import numpy as np
import pytest

from scoring import states
from scoring.states import NUMBERS, States, put_plainly, take_plainly
from tests.support.compiled import needs_compiled

needs_compiled()


def some_states(count: int, first: int = 0) -> States:
    found = States.blank([f"c-{row}" for row in range(count)])
    for place, name in enumerate(NUMBERS.names):
        found.numbers[name] = np.arange(first, first + count) + 100 * place
    for row in range(count):
        found.days[row] = b"d%d" % (first + row)
        found.ids_previous[row], found.ids_current[row] = b"p%d" % row, b"c%d" % row
    return found


def listed(columns):
    return [column.tolist() for column in columns]


@pytest.mark.parametrize("rows", [[], [2], [3, 0, 3, 1]])
def test_compiled_rows_are_those_of_numpy(rows):
    columns = some_states(4).columns
    taken = states._columns.take(columns, rows)
    assert listed(taken) == listed(take_plainly(columns, rows))
    assert [column.dtype for column in taken] == [column.dtype for column in columns]


def test_what_is_taken_is_a_copy():
    columns = some_states(2)
    taken = columns.copy()
    taken.numbers["sequence"] = -5
    taken.days[0] = b"other"
    assert columns.columns[0]["sequence"].tolist() == some_states(2).numbers["sequence"].tolist()
    assert columns.days[0] == b"d0"


@pytest.mark.parametrize("rows", [[], [2], [3, 0, 1]])
def test_compiled_rows_are_put_where_numpy_puts_them(rows):
    compiled, plain = some_states(4).columns, some_states(4).columns
    values = some_states(len(rows), first=50).columns
    states._columns.put(compiled, rows, values)
    put_plainly(plain, rows, values)
    assert listed(compiled) == listed(plain)


@pytest.mark.parametrize("row", [-1, 4, 2**40])
def test_row_that_is_not_there_is_refused(row):
    columns = some_states(4).columns
    with pytest.raises(IndexError, match=f"row {row} of 4"):
        states._columns.take(columns, [row])
    with pytest.raises(IndexError, match=f"row {row} of 4"):
        states._columns.put(columns, [row], some_states(1).columns)


def test_values_of_another_number_are_refused():
    with pytest.raises(ValueError, match="were to be"):
        states._columns.put(some_states(4).columns, [0, 1], some_states(1).columns)
