# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Rows of customers' columns, copied: what `scoring.states` does by indexing, compiled.

numpy copies a structured row field by field, and works out how for every call.
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.string cimport memcpy

from scoring._bytes cimport place_of
from scoring._numbers cimport Row

import numpy as np

cdef inline void copy_object(PyObject** target, PyObject** source) noexcept:
    cdef PyObject* former = target[0]
    Py_INCREF(<object> source[0])
    target[0] = source[0]
    Py_XDECREF(former)


def take(tuple columns, list rows):
    """Copies of some rows.

    Parameters
    ----------
    columns : numbers, days, ids_previous, ids_current
        As `scoring.states.States` has them.
    rows : list of int

    Raises
    ------
    IndexError
        There is no such row.
    """
    cdef Py_ssize_t n = len(rows), held = len(columns[0]), i, row
    numbers = np.empty(n, dtype=columns[0].dtype)
    cdef Row* target = <Row*> place_of(numbers, n * sizeof(Row))
    cdef const Row* source = <const Row*> place_of(columns[0], held * sizeof(Row))
    for i in range(n):
        row = rows[i]
        if not 0 <= row < held:
            raise IndexError(f"row {row} of {held}")
        target[i] = source[row]
    found = [numbers]
    cdef PyObject** objects
    cdef PyObject** others
    for column in columns[1:]:
        some = np.empty(n, dtype=object)
        objects = <PyObject**> place_of(some, n * sizeof(PyObject*))
        others = <PyObject**> place_of(column, held * sizeof(PyObject*))
        for i in range(n):
            row = rows[i]
            copy_object(objects + i, others + row)
        found.append(some)
    return found


def put(tuple columns, list rows, tuple values):
    """Write n rows of values into some rows.

    Raises
    ------
    IndexError
        There is no such row, or not one for each.
    """
    cdef Py_ssize_t n = len(rows), held = len(columns[0]), i, row
    cdef Row* target = <Row*> place_of(columns[0], held * sizeof(Row))
    cdef const Row* source = <const Row*> place_of(values[0], n * sizeof(Row))
    for i in range(n):
        row = rows[i]
        if not 0 <= row < held:
            raise IndexError(f"row {row} of {held}")
        target[row] = source[i]
    cdef PyObject** objects
    cdef PyObject** others
    for column, value in zip(columns[1:], values[1:]):
        objects = <PyObject**> place_of(column, held * sizeof(PyObject*))
        others = <PyObject**> place_of(value, n * sizeof(PyObject*))
        for i in range(n):
            row = rows[i]
            copy_object(objects + row, others + i)
