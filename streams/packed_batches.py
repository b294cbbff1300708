"""Batches for aiokafka's producer whose records were written before.

The producer's own builder takes records one by one, at 3 µs each. Owns nothing but the way past it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchBuilderPy

from scoring.texts import Texts
from streams.tails import batch_records

CODECS = {
    None: DefaultRecordBatch.CODEC_NONE,
    "gzip": DefaultRecordBatch.CODEC_GZIP,
    "snappy": DefaultRecordBatch.CODEC_SNAPPY,
    "lz4": DefaultRecordBatch.CODEC_LZ4,
    "zstd": DefaultRecordBatch.CODEC_ZSTD,
}


class PackedBatch(BatchBuilder):  # type: ignore[misc]
    """A full batch; header, checksum and compression are the library's.

    Parameters
    ----------
    records : bytes
        As they stand in a batch.
    count : int
    codec : int
        By Kafka's numbers.
    """

    def __init__(self, records: bytes, count: int, codec: int) -> None:
        super().__init__(len(records), codec)
        now_ms = int(time.time() * 1_000)
        builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, 0, len(records))
        builder._buffer += records
        builder._num_records = count
        builder._last_offset = count - 1
        builder._first_timestamp = builder._max_timestamp = now_ms
        self._builder = builder
        self._relative_offset = count
        self.close()

    def _set_producer_state(self, producer_id: int, producer_epoch: int, sequence: int) -> None:
        self._builder.set_producer_state(producer_id, producer_epoch, sequence)


def packed_batches(tails: Texts, bytes_max: int, codec: int) -> Iterator[PackedBatch]:
    """Records with some tails in batches of at most so many bytes, or of one record each that has more."""
    first, begin = 0, 0
    ends = tails.ends.tolist()
    for row, end in enumerate(ends):
        if end - begin > bytes_max and row > first:
            yield PackedBatch(batch_records(tails, first, row), row - first, codec)
            first, begin = row, ends[row - 1]
    if first < len(ends):
        yield PackedBatch(batch_records(tails, first, len(ends)), len(ends) - first, codec)
