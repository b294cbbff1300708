"""A record's tail, as the log has it and as it is foretold."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from streams.tails import fingerprint, tail_of
from streams.whole_batches import WholeBatch

GZIP = 1
TEXTS = st.none() | st.binary(max_size=300)
RECORDS = st.lists(
    st.tuples(TEXTS, TEXTS, st.lists(st.tuples(st.text(max_size=9), TEXTS), max_size=3)),
    min_size=1,
    max_size=8,
)


def batch_of(records: list[Any], compression: int = 0) -> WholeBatch:
    """A batch as a producer builds it, hours between its records."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=compression,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1_000_000,
    )
    for offset, (key, value, headers) in enumerate(records):
        stamp = 1_700_000_000_000 + offset * 3_600_000
        assert builder.append(offset, stamp, key, value, headers) is not None
    return WholeBatch(builder.build())


@given(RECORDS, st.sampled_from([0, GZIP]))
def test_every_tail_in_the_log_is_the_one_foretold(records, compression):
    (batch,) = batch_of(records, compression)
    assert batch.fingerprints().tolist() == [fingerprint(tail_of(*record)) for record in records]


def test_batch_stands_at_the_offset_of_its_last_record():
    assert batch_of([(b"k", b"v", [])] * 3).offset == 2


@pytest.mark.parametrize("other", [(b"K", b"v", []), (b"k", b"w", []), (b"k", b"v", [("h", b"")])])
def test_records_that_differ_have_different_tails(other):
    assert tail_of(b"k", b"v", []) != tail_of(*other)
