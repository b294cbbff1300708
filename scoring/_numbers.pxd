"""A row of `scoring.states.NUMBERS`, for the compiled modules; what each column says is said there."""

from libc.stdint cimport int64_t

cdef packed struct Row:
    int64_t frequency
    int64_t first_day
    int64_t last_day
    int64_t repeat_units
    int64_t purchase_units
    int64_t refund_units
    int64_t first_at_us
    int64_t last_at_us
    int64_t tail
    int64_t tail_day
    int64_t ids_generation
    int64_t as_of_us
    double prob_alive
    int64_t card
    int64_t segment
    int64_t segment_since_us
    int64_t lifecycle
    int64_t next_review_us
    int64_t next_segment
    int64_t next_lifecycle
    int64_t sequence
    double sample_rank
    int64_t source_topic
    int64_t source_offset
