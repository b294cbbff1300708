"""JSON lines are replayed byte for byte, bad ones included."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.loaders.cdnow import load_cdnow
from ops.loaders.jsonl import load_jsonl
from ops.loaders.source import EXAMPLES_MAX, LoadReport, RawRecord
from schemas.decoding import DecodingLimits, decode_transactions
from schemas.errors import SourceFileError


def line(number: int, moment: str, rest: str = "", customer: str = "C-1") -> bytes:
    text = (
        f'{{"transaction_id":"t-{number}","customer_id":"{customer}",'
        f'"occurred_at":"{moment}","amount":{number}.50{rest}}}'
    )
    return text.encode()


def load(*paths: Path) -> tuple[list[RawRecord], LoadReport]:
    report = LoadReport()
    records = list(load_jsonl(paths, report=report))
    assert report.rows_read == report.rows_used + report.rows_skipped
    assert report.records == report.rows_used == len(records)
    return records, report


def write(tmp_path: Path, *lines: bytes, name: str = "t.jsonl", end: bytes = b"\n") -> Path:
    path = tmp_path / name
    path.write_bytes(end.join(lines) + end)
    return path


def test_lines_come_by_time_and_byte_for_byte(tmp_path: Path) -> None:
    late = line(1, "2011-07-01T12:00:00+02:00", ', "channel" : "web"')
    early = line(2, "2011-07-01T09:59:00Z", ',"kind":"refund"')
    same = line(3, "2011-07-01T10:00:00Z", ',"items":[{"sku":"a","quantity":1,"unit_price":"2"}]')
    records, report = load(write(tmp_path, late, early, b"", same))
    assert [record.payload("USD") for record in records] == [early, late, same]
    assert [record.customer_id for record in records] == ["C-1"] * 3
    assert (report.rows_read, report.purchases, report.refunds) == (3, 2, 1)
    assert report.first_at == records[0].occurred_at


def test_bad_lines_are_kept_behind_the_readable_line_before_them(tmp_path: Path) -> None:
    lines = [
        b"not json at all",
        line(1, "2011-07-02T00:00:00Z"),
        b'{"transaction_id":"x"}',
        line(2, "2011-07-01T00:00:00Z"),
        b"\xff\xfe",
        line(3, "2011-07-03T00:00:00Z"),
    ]
    records, report = load(write(tmp_path, *lines))
    order = [lines.index(record.raw) for record in records]
    assert order == [3, 4, 0, 1, 2, 5]
    assert (report.purchases, report.expected_dead_letters) == (3, 3)
    assert f"{tmp_path / 't.jsonl'} line 1: " in report.examples[0]


@pytest.mark.parametrize(
    "bad",
    [
        line(1, "2011-07-01T00:00:00Z", customer="a b"),
        line(1, "2011-07-01T00:00:00Z", ',"kind":"gift"'),
        line(1, "2011-07-01T00:00:00Z", ',"items":[{"sku":1}]'),
        line(1, "2011-07-01T00:00:00Z", ',"currency":"dollars"'),
        line(10**12, "2011-07-01T00:00:00Z"),
        line(1, "2011-07-01T00:00:00Z").replace(b"1.50", b'"abc"'),
    ],
)
def test_line_the_worker_refuses_keeps_its_own_time_and_is_foretold(
    tmp_path: Path, bad: bytes
) -> None:
    assert decode_transactions([bad], [2_000_000_000_000], DecodingLimits()).rejects
    records, report = load(write(tmp_path, line(2, "2011-07-02T00:00:00Z"), bad))
    assert records[0].raw == bad
    assert records[0].occurred_at.isoformat() == "2011-07-01T00:00:00+00:00"
    assert records[0].customer_id is not None
    assert (report.purchases, report.expected_dead_letters) == (1, 1)


def test_file_of_bad_lines_only_keeps_its_order(tmp_path: Path) -> None:
    lines = [f"bad {number}".encode() for number in range(EXAMPLES_MAX + 4)]
    records, report = load(write(tmp_path, *lines))
    assert [record.raw for record in records] == lines
    assert {record.customer_id for record in records} == {None}
    assert report.expected_dead_letters == len(lines)
    assert len(report.examples) == EXAMPLES_MAX


def test_what_the_decoder_of_the_worker_accepts_is_counted_as_a_transaction(
    tmp_path: Path,
) -> None:
    odd = [
        line(1, "2011-07-01T00:00:00Z").replace(b"1.50", b'"1.50"'),
        line(2, "2011-07-01T00:00:00Z").replace(b"2.50", b"-2.50"),
        line(3, "2011-07-01T00:00:00Z", ',"unknown":{"a":[1]}'),
    ]
    assert not decode_transactions(odd, [2_000_000_000_000] * 3, DecodingLimits()).rejects
    _, report = load(write(tmp_path, *odd))
    assert (report.purchases, report.refunds, report.expected_dead_letters) == (2, 1, 0)


def test_byte_order_mark_and_windows_line_ends_are_no_part_of_a_record(tmp_path: Path) -> None:
    good = line(1, "2011-07-01T00:00:00Z")
    records, _ = load(write(tmp_path, b"\xef\xbb\xbf" + good, good, end=b"\r\n"))
    assert [record.raw for record in records] == [good, good]


@pytest.mark.parametrize(
    "text", [b'[\n{"transaction_id":"a"}\n]', b'[{"transaction_id":"a"},{"transaction_id":"b"}]']
)
def test_json_array_is_refused_with_the_way_out(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(SourceFileError, match="one JSON array") as caught:
        load(write(tmp_path, text))
    assert "jq -c '.[]' t.jsonl" in str(caught.value.hint)


def test_array_among_other_lines_is_a_record_to_dead_letter(tmp_path: Path) -> None:
    _, report = load(write(tmp_path, b'[{"a":1}]', line(1, "2011-07-01T00:00:00Z")))
    assert (report.purchases, report.expected_dead_letters) == (1, 1)


def test_files_are_merged_by_time(tmp_path: Path) -> None:
    first = write(tmp_path, line(1, "2011-07-01T00:00:00Z"), line(3, "2011-07-03T00:00:00Z"))
    second = write(tmp_path, line(2, "2011-07-02T00:00:00Z"), name="u.jsonl")
    assert [record.raw[19:22] for record in load(first, second)[0]] == [b"t-1", b"t-2", b"t-3"]


def test_absent_file_empty_file_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceFileError, match=r"none\.jsonl cannot be read"):
        load(tmp_path / "none.jsonl")
    with pytest.raises(SourceFileError, match="needs a file"):
        load()
    records, report = load(write(tmp_path))
    assert (records, report.rows_read, report.first_at) == ([], 0, None)


def test_payloads_of_another_loader_replay_the_same(tmp_path: Path) -> None:
    payloads = [record.payload("USD") for record in load_cdnow(report=LoadReport())][:500]
    records, report = load(write(tmp_path, *reversed(payloads)))
    assert sorted(record.raw for record in records) == sorted(payloads)
    assert report.purchases == 500
