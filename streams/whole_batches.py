"""Batches of records handed out whole: for readers who only want to know whether they have seen a record.

Owns how a batch passes through aiokafka's consumer unread; what its records say is `streams.tails`.
"""

from __future__ import annotations

from typing import Any

from aiokafka.record.default_records import _DefaultRecordBatchPy

from streams.tails import PrintArray, find_tails, fingerprints_at


class WholeBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """A batch that, to aiokafka's consumer, looks like its own only record."""

    @property
    def offset(self) -> int:
        """Of its last record."""
        return int(self.next_offset) - 1

    def __iter__(self) -> Any:
        self._maybe_uncompress()
        return iter((self,))

    def fingerprints(self) -> PrintArray:
        """Of its records' tails."""
        places = find_tails(self._buffer, self._pos, self._num_records)
        return fingerprints_at(self._buffer, *places)


def whole(_: Any) -> Any:
    """Given to a consumer as its value deserializer: whole batches instead of records, please."""
    raise NotImplementedError("there is no record to deserialize")
