"""Header names of any bytes: no record is lost to them, and none comes twice."""

from __future__ import annotations

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.structs import TopicPartition

import streams.header_names

TP = TopicPartition("t", 0)
NONE, GZIP = 0, 1


class Name(str):
    """A header name that is sent as other bytes than it reads."""

    __slots__ = ("raw",)

    def __new__(cls, raw: bytes):
        name = super().__new__(cls, "name")
        name.raw = raw
        return name

    def encode(self, *_):
        return self.raw


def batch(base: int, names: list[bytes], codec=NONE) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, 0, 1 << 20)
    for offset, name in enumerate(names):
        value = None if offset % 5 == 4 else b"v%d" % (base + offset)
        headers = [("plain", b"\xff"), (Name(name), None)]
        builder.append(offset, 1_000 + offset, b"k\xff", value, headers)
    return base.to_bytes(8, "big") + bytes(builder.build())[8:]


def read(data: bytes, begin: int = 0) -> list:
    records = fetcher.PartitionRecords(
        TP, fetcher.MemoryRecords(data), [], begin, None, None, True, fetcher.READ_UNCOMMITTED
    )
    return list(records)


@pytest.mark.parametrize("codec", [NONE, GZIP])
@pytest.mark.parametrize("bad", [0, 1, 4])
def test_every_record_around_a_name_that_is_not_utf8_comes_once(codec, bad):
    names = [b"good"] * 5
    names[bad] = b"\xff\xfe{}"
    data = batch(0, [b"a", b"b"]) + batch(2, names, codec) + batch(7, [b"c", b"\xc3"], codec)
    found = read(data)
    assert [record.offset for record in found] == list(range(9))
    assert list(found[2 + bad].headers) == [("plain", b"\xff"), ("\ufffd\ufffd{}", None)]
    assert found[8].headers[1] == ("\ufffd", None)
    for record in found:
        if record.offset not in (2 + bad, 8):
            assert record.headers[1][0].isascii()
        in_batch = record.offset if record.offset < 2 else (record.offset - 2) % 5
        assert record.value == (None if in_batch == 4 else b"v%d" % record.offset)
        assert (record.key, record.timestamp) == (b"k\xff", 1_000 + in_batch)


def test_position_within_a_batch_is_kept():
    data = batch(0, [b"a", b"\xff", b"b", b"\xff", b"c"])
    assert [record.offset for record in read(data, begin=2)] == [2, 3, 4]


def test_batches_of_good_names_are_read_by_the_fast_decoder(monkeypatch):
    monkeypatch.setattr(streams.header_names, "_AnyNamesBatch", None)
    assert len(read(batch(0, [b"a", "ü".encode()]) + batch(2, [b"c"], GZIP))) == 3
