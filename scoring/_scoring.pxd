"""One customer's scores, for the compiled modules."""

from libc.stdint cimport int64_t

from scoring._numbers cimport Row

cdef enum:
    LIFECYCLE_STEPS = 2  # thresholds that silence passes


cdef class Scorer:
    cdef double r, alpha_days, a, b, shift
    cdef bint forms_cancel  # of the expectation, where Python has to look
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
    cdef bint expected(self, const Row* row, double horizon_days, double* found) noexcept
    cdef double expected_by_series(self, double z, double c, double upper) noexcept
    cdef int rfm(self, const Row* row) noexcept
    cdef double distance(self, const Row* row, int64_t* beyond) noexcept
