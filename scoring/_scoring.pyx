# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""One customer's scores, compiled: what `scoring.review` and its helpers do with columns, to the last bit.

Owns nothing but speed. Every sum and quotient stands here in the order in which it stands there, and what
is no sum is numpy's own loop (`scoring._loops`). Who has no table yet (`Scorer.tell`) is said, and left.
"""

from libc.math cimport INFINITY, NAN, ceil, frexp
from libc.stdint cimport INT64_MAX, int16_t, int32_t, int64_t

from scoring._bytes cimport place_of
from scoring._loops cimport Loop, loop_of, one
from scoring._numbers cimport Row

import numpy as np
from scipy.special import expit, logit

from schemas.scorecard import Family
from scoring import prospects

cdef enum:
    NONE = -1
    SEGMENTS_ROOM = 64

SEGMENTS_MAX = SEGMENTS_ROOM

cdef double US_PER_DAY = 86400e6, DAYS_MAX = 11_000_000.0, UNITS_PER_MAJOR = 10_000.0
cdef double ROUNDING = 1e-9  # of `scoring.review` and of `scoring.segments`
cdef double SHORT_DAYS = prospects.SHORT_DAYS
cdef int TERMS = prospects.TERMS, FIRST_OCTAVE = prospects.FIRST_OCTAVE

cdef Loop LOG = loop_of(np.log, "d->d")
cdef Loop LOG1P = loop_of(np.log1p, "d->d")
cdef Loop EXPM1 = loop_of(np.expm1, "d->d")
cdef Loop EXPIT = loop_of(expit, "d->d")
cdef Loop LOGIT = loop_of(logit, "d->d")


cdef inline bint differ(Loop* loop, object function, double x) except *:
    return one(loop, x) != <double> function(x)


def check_loops() -> None:
    """Refuse to be imported where a loop does not say what its function says.

    Raises
    ------
    ImportError
    """
    for value in np.linspace(0.01, 0.99, 99):
        x = float(value)
        if (
            differ(&LOG, np.log, x) or differ(&LOG1P, np.log1p, x)
            or differ(&EXPM1, np.expm1, x) or differ(&EXPIT, expit, x)
            or differ(&LOGIT, logit, x)
        ):
            raise ImportError("numpy or scipy calls other loops than those it shows")


check_loops()


cdef inline double monetary_value(const Row* row) noexcept:
    if row.frequency <= 0:
        return 0.0
    return <double> row.repeat_units / (<double> row.frequency * UNITS_PER_MAJOR)


cdef inline Py_ssize_t places_before(const double[::1] sorted_, double value) noexcept:
    """How many are no larger: `np.searchsorted` with side="right"."""
    cdef Py_ssize_t low = 0, high = sorted_.shape[0], middle
    while low < high:
        middle = (low + high) // 2
        if value < sorted_[middle]:
            high = middle
        else:
            low = middle + 1
    return low


cdef class Scorer:
    """A scorecard and a time zone, ready for one customer after the other.

    Parameters
    ----------
    scorecard : schemas.scorecard.Scorecard
    tables : scoring.segments.Tables
    lifecycle_floor : float64, shape (3,)
    offsets : scoring.business_calendar.Offsets
    """

    def __init__(self, scorecard, tables, lifecycle_floor, offsets):
        cdef int i
        params = scorecard.alive
        self.r, self.alpha_days, self.a, self.b = (
            params.r, params.alpha_days, params.a, params.b
        )
        self.shift = 0.0 if params.family == Family.MBGNBD else 1.0
        spend = scorecard.spend
        self.values = spend is not None
        if self.values:
            self.p, self.q, self.v = spend.p, spend.q, spend.v
        for i in range(3):
            self.mean[i], self.scale[i] = tables.mean[i], tables.scale[i]
            self.floors[i] = lifecycle_floor[i]
        self.segments = len(tables.squares)
        self.twice, self.margins = tables.twice, tables.margin
        self.slopes, self.twice_apart = tables.slope, tables.twice_apart
        self.squares = tables.squares
        self.starts_us, self.offsets_us = offsets.starts_us, offsets.offsets_us
        self.civil_ends_us = offsets.civil_ends_us
        self.fixed = len(offsets.starts_us) == 1
        cuts = scorecard.rfm
        self.cuts = np.array([cuts.silence_days, cuts.frequency, cuts.monetary_value], np.float64)

    cdef double days_at(self, int64_t instant_us) noexcept:
        cdef Py_ssize_t period = 0
        if not self.fixed:  # the first offset begins at minus infinity
            period = places_before(self.starts_us, <double> instant_us) - 1
        return (<double> instant_us + self.offsets_us[period]) / US_PER_DAY

    cdef int64_t instant_of(self, double civil_days) noexcept:
        cdef double civil_us, instant
        cdef Py_ssize_t period
        if not civil_days < DAYS_MAX:
            return INT64_MAX
        civil_us = ceil(civil_days * US_PER_DAY)
        if (civil_us - 1.0) / US_PER_DAY >= civil_days:
            civil_us -= 1.0
        if civil_us / US_PER_DAY < civil_days:
            civil_us += 1.0
        if self.fixed:
            return <int64_t> (civil_us - self.offsets_us[0])
        period = places_before(self.civil_ends_us, civil_us)
        instant = civil_us - self.offsets_us[period]
        return <int64_t> max(instant, self.starts_us[period])

    cdef void features(self, const Row* row, double alive, double* z) noexcept:
        cdef double money = monetary_value(row)
        cdef double often = <double> row.frequency if row.frequency > 0 else 0.0
        z[0] = (alive - self.mean[0]) / self.scale[0]
        z[1] = (one(&LOG1P, often) - self.mean[1]) / self.scale[1]
        z[2] = (one(&LOG1P, money if money > 0.0 else 0.0) - self.mean[2]) / self.scale[2]

    cdef void standard_features(self, Row* row, double* z) noexcept:
        cdef double t_x = <double> (row.last_day - row.first_day)
        cdef double age = self.days_at(row.as_of_us) - <double> row.first_day
        cdef double often = <double> row.frequency
        cdef double dead = one(&LOG1P, (age - t_x) / (t_x + self.alpha_days))
        dead *= often + self.r
        if self.shift == 0.0:
            dead += one(&LOG, self.a / (often + self.b))
        else:
            dead += one(&LOG, self.a / (max(often, 1.0) + (self.b - 1.0)))
        if self.shift != 0.0 and row.frequency == 0:
            row.prob_alive = 1.0
        else:
            row.prob_alive = one(&EXPIT, -dead)
        self.features(row, row.prob_alive, z)

    cdef void closeness(self, const double* z, double* found) noexcept:
        cdef Py_ssize_t j
        for j in range(self.segments):
            found[j] = (
                -self.squares[j] + z[0] * self.twice[j, 0] + z[1] * self.twice[j, 1]
            ) + z[2] * self.twice[j, 2]

    cdef int64_t assign(self, const double* z, int64_t current) noexcept:
        cdef double[SEGMENTS_ROOM] close
        cdef double excess, most
        cdef Py_ssize_t j, step
        cdef int64_t best, segment = current
        self.closeness(z, close)
        if segment == NONE:
            segment = 0
            for j in range(1, self.segments):
                if close[j] > close[segment]:
                    segment = j
        for step in range(self.segments):
            best, most = 0, (close[0] - close[segment]) - self.margins[segment, 0]
            for j in range(1, self.segments):
                excess = (close[j] - close[segment]) - self.margins[segment, j]
                if excess > most:
                    best, most = j, excess
            if not most > ROUNDING:
                break
            segment = best
        return segment

    cdef void score(self, Row* row) noexcept:
        cdef double[3] z
        cdef int step
        cdef int64_t lifecycle = 0
        if row.frequency < 0:
            row.prob_alive = NAN
            row.segment = row.lifecycle = row.next_segment = row.next_lifecycle = NONE
            row.next_review_us = INT64_MAX
            return
        self.standard_features(row, z)
        row.segment = self.assign(z, row.segment)
        for step in range(LIFECYCLE_STEPS):
            # Who has fallen below one stays there at the very moment of the crossing.
            if row.prob_alive < self.floors[step] + (ROUNDING if step < row.lifecycle else 0.0):
                lifecycle += 1
        row.lifecycle = lifecycle
        self.arm(row, z)

    cdef void cross(self, Row* row) noexcept:
        cdef double[3] z
        row.as_of_us = row.next_review_us
        self.standard_features(row, z)
        if row.next_segment != NONE:
            row.segment = self.assign(z, row.next_segment)
        if row.next_lifecycle != NONE:
            row.lifecycle = row.next_lifecycle
        self.arm(row, z)

    cdef void arm(self, Row* row, const double* z) noexcept:
        cdef double[SEGMENTS_ROOM] close
        cdef double crossing, excess, highest = -INFINITY, p
        cdef Py_ssize_t j
        cdef int64_t i = row.segment, target = 0, by_segment, by_lifecycle, soonest
        self.closeness(z, close)
        for j in range(self.segments):
            if self.slopes[i, j] < 0:
                excess = (close[j] - close[i]) - self.margins[i, j]
                crossing = z[0] - (excess if excess < 0.0 else 0.0) / self.slopes[i, j]
                if crossing > highest:
                    target, highest = j, crossing
        p = self.mean[0] + self.scale[0] * highest
        if not p > 0:
            p, target = -INFINITY, NONE
        by_segment = self.instant_at(row, p)
        by_lifecycle = self.instant_at(row, self.floors[row.lifecycle])
        soonest = min(by_segment, by_lifecycle)
        row.next_review_us = soonest
        row.next_segment = target if by_segment == soonest != INT64_MAX else NONE
        row.next_lifecycle = (
            row.lifecycle + 1 if by_lifecycle == soonest != INT64_MAX else NONE
        )

    cdef int64_t instant_at(self, const Row* row, double p) noexcept:
        """When P(alive) will have fallen to p by silence alone."""
        cdef double t_x, often = <double> row.frequency, odds, growth, age
        if not p > 0 or (self.shift != 0.0 and row.frequency == 0):
            return INT64_MAX
        t_x = <double> (row.last_day - row.first_day)
        odds = (max(often, self.shift) + (self.b - self.shift)) / self.a
        growth = one(
            &EXPM1, (one(&LOG, odds) - one(&LOGIT, min(p, 1.0))) / (often + self.r)
        )
        age = t_x + (t_x + self.alpha_days) * growth
        return max(self.instant_of(<double> row.first_day + age), row.as_of_us)

    cdef bint sums_if_alive(
        self, int64_t frequency, double span, const int32_t[:, ::1] places,
        const double[:, :, ::1] tables, double* found,
    ) noexcept:
        """What `scoring.prospects` has tabled; False where it has not."""
        cdef int octave, sum_, term
        cdef double u = 4.0 * frexp(span, &octave) - 3.0, twice = u + u, later, last, now
        cdef Py_ssize_t column = octave - FIRST_OCTAVE, place
        if frequency >= places.shape[0] or column < 0 or column >= places.shape[1]:
            return False
        place = places[frequency, column]
        if place < 0:
            return False
        for sum_ in range(4):
            later = last = 0.0
            for term in range(TERMS - 1, 0, -1):
                now = (twice * later - last) + tables[place, sum_, term]
                last, later = later, now
            found[sum_] = (u * later - last) + tables[place, sum_, 0]
        return True

    cdef double expected_spend(self, const Row* row, double money) noexcept:
        cdef double often = <double> row.frequency if row.frequency > 0 else 0.0, excess
        if not self.values:
            return NAN
        if not money > 0.0:
            money = 0.0
        excess = self.p * often + (self.q - 1.0)
        return self.p * (self.v + often * money) / excess if excess > 0.0 else money

    cdef int rfm(self, const Row* row) noexcept:
        """The three quintile scores as one number of three digits."""
        cdef double silence = self.days_at(row.as_of_us) - <double> row.last_day
        cdef double often = <double> row.frequency if row.frequency > 0 else 0.0
        cdef double money = monetary_value(row)
        cdef int recency = 5, frequency = 1, monetary = 1
        cdef Py_ssize_t cut
        for cut in range(4):
            recency -= self.cuts[0, cut] <= silence
            frequency += self.cuts[1, cut] < often
            monetary += self.cuts[2, cut] < money
        return 100 * recency + 10 * frequency + monetary

    cdef double distance(self, const Row* row, int64_t* beyond) noexcept:
        """To the nearest border, in standardised feature space, and the segment beyond."""
        cdef double[SEGMENTS_ROOM] close
        cdef double[3] z
        cdef double nearest = INFINITY, distance
        cdef Py_ssize_t j
        cdef int64_t i = row.segment if row.segment > 0 else 0
        self.features(row, row.prob_alive if row.prob_alive == row.prob_alive else 0.0, z)
        self.closeness(z, close)
        beyond[0] = 0
        for j in range(self.segments):
            distance = -((close[j] - close[i]) - self.margins[i, j]) / self.twice_apart[i, j]
            if j != i and distance < nearest:
                nearest = distance
                beyond[0] = j
        return nearest if nearest > 0.0 else 0.0

    def tell(self, numbers, const int32_t[:, ::1] places, const double[:, :, ::1] tables):
        """What is told of customers beside what they are.

        Parameters
        ----------
        numbers : structured array of dtype NUMBERS, shape (n,)
        places, tables
            Of `scoring.prospects.Prospects`.

        Returns
        -------
        float64, shape (10, n)
            Of `scoring.telling.Told`, in its order.
        int16, shape (2, n)
            The same.
        list of int
            Rows whose value is left to Python.
        """
        cdef Py_ssize_t n = len(numbers), i
        cdef const Row* row = <const Row*> place_of(numbers, n * sizeof(Row))
        cdef double silence, age, span, alive, money, spend
        cdef double[4] sums
        cdef int64_t beyond
        floats, wholes, left = np.zeros((10, n)), np.empty((2, n), dtype=np.int16), []
        cdef double* told = <double*> place_of(floats, 10 * n * sizeof(double))
        cdef int16_t* index = <int16_t*> place_of(wholes, 2 * n * sizeof(int16_t))
        for i in range(n):
            alive = row.prob_alive if row.prob_alive == row.prob_alive else 0.0
            money = monetary_value(row)
            spend = self.expected_spend(row, money)
            told[i] = alive
            told[2 * n + i] = money
            told[3 * n + i] = self.distance(row, &beyond)
            told[7 * n + i] = spend
            if row.frequency >= 0:
                silence = self.days_at(row.as_of_us) - <double> row.last_day
                told[n + i] = silence if silence > 0.0 else 0.0
                age = self.days_at(row.as_of_us) - <double> row.first_day
                span = age + self.alpha_days
                if self.sums_if_alive(row.frequency, span, places, tables, sums):
                    told[4 * n + i] = alive * -one(
                        &EXPM1,
                        -((<double> row.frequency + self.r) * one(&LOG1P, SHORT_DAYS / span)),
                    )
                    told[5 * n + i] = alive * sums[0]
                    told[6 * n + i] = alive * sums[1]
                    told[8 * n + i] = alive * sums[2]
                    told[9 * n + i] = alive * sums[3]
                else:
                    left.append(i)
            told[8 * n + i] *= spend
            told[9 * n + i] *= spend
            index[i] = <int16_t> beyond
            index[n + i] = <int16_t> self.rfm(row)
            row += 1
        return floats, wholes, left
