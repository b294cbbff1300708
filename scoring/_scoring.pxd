"""One customer's scores, for the compiled modules."""

from libc.stdint cimport int32_t, int64_t

from scoring._numbers cimport Row

cdef enum:
    LIFECYCLE_STEPS = 2  # thresholds that silence passes


cdef class Scorer:
    cdef double r, alpha_days, a, b, shift
    cdef double p, q, v
    cdef bint values  # there is a spend model
    cdef double[3] mean, scale, floors
    cdef Py_ssize_t segments
    cdef const double[:, ::1] twice, margins, slopes, twice_apart
    cdef const double[::1] squares
    cdef const double[::1] starts_us, offsets_us, civil_ends_us
    cdef bint fixed
    cdef const double[:, ::1] cuts

    cdef double days_at(self, int64_t instant_us) noexcept
    cdef int64_t instant_of(self, double civil_days) noexcept
    cdef void score(self, Row* row) noexcept
    cdef void cross(self, Row* row) noexcept
    cdef void features(self, const Row* row, double alive, double* z) noexcept
    cdef void standard_features(self, Row* row, double* z) noexcept
    cdef void closeness(self, const double* z, double* found) noexcept
    cdef int64_t assign(self, const double* z, int64_t current) noexcept
    cdef void arm(self, Row* row, const double* z) noexcept
    cdef int64_t instant_at(self, const Row* row, double p) noexcept
    cdef bint sums_if_alive(
        self, int64_t frequency, double span, const int32_t[:, ::1] places,
        const double[:, :, ::1] tables, double* found,
    ) noexcept
    cdef double expected_spend(self, const Row* row, double money) noexcept
    cdef int rfm(self, const Row* row) noexcept
    cdef double distance(self, const Row* row, int64_t* beyond) noexcept
